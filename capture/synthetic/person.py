"""Shape of the procedural person: the head model plus offsets outside its span."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.types import HeadParams
from capture.synthetic.appearance import Appearance
from capture.synthetic.products import product

Array = NDArray[np.floating]

#: Offsets that expressions cause beyond the head model, at landmarks of the left half and their mirror images.
_EXPRESSION_BUMPS: tuple[tuple[str, int, int, float, tuple[float, float, float]], ...] = (
    # expression, landmark on the left, landmark on the right, radius cm, offset cm at a weight of 1
    ("mouthSmile", 425, 205, 2.0, (0.16, 0.14, 0.20)),
    ("mouthSmile", 347, 118, 1.3, (0.00, 0.08, 0.12)),
    ("cheekSquint", 347, 118, 1.2, (0.00, 0.05, 0.12)),
    ("mouthPucker", 416, 192, 1.6, (-0.12, 0.00, 0.06)),
    ("jawOpen", 427, 207, 2.2, (-0.14, 0.00, -0.06)),
)


# Expressions with the sideways offset of a crooked mouth, and its factor; the center of the mouth is landmark 13.
_CROOKED = (("jawOpen", 1.0), ("mouthSmileLeft", 0.5), ("mouthSmileRight", 0.5), ("mouthFunnel", 0.8))
_LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
_CORNERS = ("mouthSmileLeft", "mouthSmileRight")


class Person:
    """Geometry of one procedural person on the embedded head."""

    def __init__(self, appearance: Appearance, head: HeadModel | None = None) -> None:
        """`appearance` sets the identity and the offsets outside the model's span."""
        self.head = load_head() if head is None else head
        count = self.head.shapedirs.shape[2]
        sample = np.random.default_rng(appearance.identity_seed).standard_normal(count)
        # The first 41 coefficients are semantic controls; the others are scaled down so that faces stay plausible.
        self.identity = torch.from_numpy((sample * np.where(np.arange(count) < 41, 0.45, 0.35)).astype(np.float32))
        base = self.head.identity_vertices(self.identity).numpy() * np.float32(100)
        self.landmarks = self._landmarks(base)  # [478,3] cm
        self._rigid_parts = self._mask("left_eyeball", "right_eyeball", "teeth_upper", "teeth_lower", "tongue")
        offset = self._identity_offset(base, appearance) + self._rest_offset(appearance)
        self.rest = base + offset  # [V,3] cm
        # One basis [V*3,E] of the model's expressions and their offsets beyond it, meters.
        extra = (self._expression_offsets(base) + self._crooked_offsets(base, appearance)) * np.float32(0.01)
        extra += self.head.exprdirs.numpy().reshape(extra.shape)
        for name in _LIDS:  # lids that are partly closed at rest need less to close
            extra[:, self.head.expression_index(name)] *= 1 - appearance.lid_rest
        self._basis = extra
        self._curves = self.head.curvedirs.numpy().reshape(len(extra), -1)
        self._curved = self.head.curve_columns.numpy()
        self._rest_meters = self.rest * np.float32(0.01)
        self._weights = self.head.lbs_weights.numpy()
        self.faces = self.head.faces.numpy()

    def region(self, *names: str) -> NDArray[np.bool_]:
        """Mask [V] of vertices in any of the head model's regions `names`."""
        return self._mask(*names)

    def transforms(self, params: HeadParams) -> tuple[Array, Array]:
        """Rest pose -> world of every joint of B frames: rotations [B,J,3,3], translations [B,J,3] meters."""
        rotations, offsets = self.head.joint_transforms(params)
        return rotations.numpy(), offsets.numpy()

    def vertices(self, expression: Array, rotations: Array, offsets: Array) -> Array:
        """Posed vertices [V,3] in meters, world.

        Args:
            expression: [E] weights of one frame.
            rotations: [J,3,3] of the frame, from `transforms`.
            offsets: [J,3] meters.
        """
        curved = np.clip(expression[self._curved], 0, 1)
        offset = product(self._basis, expression) + product(self._curves, 4 * curved * (1 - curved))
        rest = self._rest_meters + offset.reshape(-1, 3)
        posed = np.zeros_like(rest)
        for joint, weight in enumerate(self._weights.T):
            moved = np.flatnonzero(weight)
            posed[moved] += weight[moved, None] * (product(rest[moved], rotations[joint].T) + offsets[joint])
        return posed

    def _mask(self, *names: str) -> NDArray[np.bool_]:
        return np.any([self.head.regions[name].numpy() for name in names], axis=0)

    def _landmarks(self, vertices: Array) -> Array:
        return self.head.landmarks(torch.from_numpy(vertices)[None])[0].numpy()

    def _bump(self, points: Array, center: Array, radius: float) -> Array:
        """Gaussian weight [V,1] around `center` [3]; 0 on eyeballs, teeth and tongue."""
        weight = np.exp(-((points - center) ** 2).sum(1) / (2 * (radius / 1.6) ** 2)).astype(np.float32)
        weight[self._rigid_parts] = 0
        return weight[:, None]

    def _identity_offset(self, points: Array, appearance: Appearance) -> Array:
        """Offsets [V,3] cm of the resting shape: bumps and the width of the neck."""
        offset = np.zeros_like(points)
        for landmark, radius, *shift in appearance.shape:
            center = self.landmarks[landmark]
            for side in (1.0, -1.0) if abs(center[0]) > 0.3 else (1.0,):
                mirror = np.array([side, 1.0, 1.0], np.float32)
                offset += self._bump(points, center * mirror, radius) * (np.array(shift, np.float32) * mirror)
        height = points[:, 1]
        in_neck = np.clip((height + 21) / 3, 0, 1) * np.clip((-9.5 - height) / 4, 0, 1) * self._mask("neck", "torso")
        axis = np.array([0.0, 0.0, -10.0], np.float32)
        across = (points - axis) * np.array([1.0, 0.0, 0.6], np.float32)
        return (offset + across * ((appearance.neck_scale - 1) * in_neck)[:, None]).astype(np.float32)

    def _rest_offset(self, appearance: Appearance) -> Array:
        """Offsets [V,3] cm of the resting face: partly closed lids, raised mouth corners, visible upper teeth."""
        offset = np.zeros((len(self.head.v_template), 3), np.float32)
        for names, weight in ((_LIDS, appearance.lid_rest), (_CORNERS, appearance.smile_rest)):
            for name in names:
                direction = self.head.exprdirs[:, :, self.head.expression_index(name)].numpy()
                offset += direction * np.float32(100 * weight)
        offset[self._mask("teeth_upper")] += np.array([0.0, -appearance.teeth_show, 0.0], np.float32)
        return offset.astype(np.float32)

    def _crooked_offsets(self, points: Array, appearance: Appearance) -> Array:
        """Sideways offsets [V*3,E] cm of a crooked mouth."""
        offsets = np.zeros((*points.shape, len(self.head.expression_names)), np.float32)
        offset = (
            self._bump(points, self.landmarks[13], 3.6) * np.array([1.0, 0.35, 0.0], np.float32) * appearance.crooked
        )
        for name, factor in _CROOKED:
            offsets[:, :, self.head.expression_index(name)] = offset * np.float32(factor)
        return offsets.reshape(-1, offsets.shape[2])

    def _expression_offsets(self, points: Array) -> Array:
        """Offsets [V*3,E] cm of the expressions beyond the head model."""
        offsets = np.zeros((*points.shape, len(self.head.expression_names)), np.float32)
        for stem, left, right, radius, shift in _EXPRESSION_BUMPS:
            for landmark, side, suffix in ((left, 1.0, "Left"), (right, -1.0, "Right")):
                name = stem + suffix if stem + suffix in self.head.expression_names else stem
                index = self.head.expression_index(name)
                vector = np.array([shift[0] * side, shift[1], shift[2]], np.float32)
                offsets[:, :, index] += self._bump(points, self.landmarks[landmark], radius) * vector
        return offsets.reshape(-1, offsets.shape[2])


def vertex_normals(vertices: Array, faces: NDArray[np.int64]) -> Array:
    """Unit normals [V,3], the area-weighted mean of the faces around each vertex."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    normal = np.cross(second - first, third - first)
    total = np.stack([np.bincount(faces.ravel(), np.repeat(normal[:, axis], 3), len(vertices)) for axis in range(3)], 1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)
