"""A FLAME file as a HeadModel that can be posed, before landmarks, parts, controls and textures are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.head.sheets import View, rasterized
from avatar.types import LEFT_EYE, RIGHT_EYE

from .source import PARENTS, FlameArrays
from .surface import Floats, Ints, Mask, components

_LEAST_BALL, _ROUND = 12, 0.75  # vertices of an eyeball's front; nearest over farthest from its center
_OFF_CENTER = 0.6  # of the radius that the mean of its vertices may lie off its joint: it may be open at the back
_SEEN_PIXELS = 768  # a side: 0.4 mm a pixel, so that a lip's edge shows
_SKIN = (0.82, 0.66, 0.57)
#: angle from the eye's axis (radians) and the color from there on
_EYE_COLORS = (
    (0.0, (0.03, 0.03, 0.03)),
    (0.18, (0.33, 0.42, 0.46)),
    (0.43, (0.20, 0.26, 0.29)),
    (0.48, (0.90, 0.88, 0.86)),
)


@dataclass(frozen=True)
class Eyeball:
    """One eyeball: the vertices, its joint and its size."""

    vertices: Ints  # [N]
    center: Floats  # [3] meters, origin between the eyeballs
    radius: float  # meters, the largest in front


@dataclass(frozen=True)
class Anatomy:
    """What of a FLAME mesh is what, in meters with the origin between the eyeballs."""

    vertices: Floats  # [V,3]
    faces: Ints  # [F,3]
    skin: Mask  # [V] all but the eyeballs
    left: Eyeball
    right: Eyeball

    @property
    def skin_faces(self) -> Ints:
        """Which faces [N] are skin."""
        return np.flatnonzero(self.skin[self.faces].all(1))

    @cached_property
    def seen(self) -> Ints:
        """Skin faces [N] that show from in front or half aside: the outside, without the mouth and the sockets."""
        vertices, faces = torch.from_numpy(self.vertices).float(), torch.from_numpy(self.faces)
        shown = np.zeros(len(faces), bool)
        for yaw in (-70.0, -35.0, 0.0, 35.0, 70.0):
            for pitch in (-25.0, 0.0, 25.0):
                view = View(yaw=yaw, pitch=pitch, center=(0.0, -0.02, -0.03), extent=0.3)
                _, face, _ = rasterized(faces, vertices, view, _SEEN_PIXELS)
                shown[face[face >= 0].numpy()] = True
        return np.flatnonzero(shown & self.skin[self.faces].all(1))


def bare_head(arrays: FlameArrays) -> HeadModel:
    """The file's linear model, shifted so that the origin lies between the eyeballs; landmarks and UVs are empty."""
    joints = arrays.regressor @ arrays.v_template
    template = arrays.v_template - (joints[LEFT_EYE] + joints[RIGHT_EYE]) / 2
    count, expressions = len(template), arrays.expressions.shape[2]
    return HeadModel(
        name=arrays.version.name,
        license=arrays.version.license,
        v_template=_tensor(template),
        faces=torch.from_numpy(arrays.faces),
        shapedirs=_tensor(arrays.identity),
        exprdirs=_tensor(arrays.expressions),
        joint_dirs=torch.zeros(len(PARENTS), 3, expressions),
        curvedirs=torch.zeros(count, 3, 0),
        curve_columns=torch.zeros(0, dtype=torch.int64),
        posedirs=_tensor(arrays.posedirs),
        J_regressor=_tensor(arrays.regressor),
        parents=PARENTS,
        lbs_weights=_tensor(arrays.weights),
        expression_names=tuple(f"expr{number}" for number in range(expressions)),
        landmark_faces=torch.zeros(0, dtype=torch.int64),
        landmark_bary=torch.zeros(0, 3),
        uv=torch.zeros(0, 2),
        uv_faces=torch.zeros(0, 3, dtype=torch.int64),
        regions={},
        colors=_tensor(np.tile(_SKIN, (count, 1))),
        capabilities=frozenset(),
    )


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def anatomy(head: HeadModel) -> Anatomy:
    """Eyeballs (vertices that an eye joint holds) and skin of a bare head."""
    vertices, faces = head.v_template.double().numpy(), head.faces.numpy()
    weights = head.lbs_weights.numpy()
    joints = head.joint_locations(head.neutral_params().identity).double().numpy()
    pieces = components(faces, len(vertices))
    balls = []
    for joint in (LEFT_EYE, RIGHT_EYE):
        held = np.bincount(pieces[weights[:, joint] > 0.5], minlength=pieces.max() + 1)
        own = np.flatnonzero(pieces == held.argmax())
        own = own[weights[own, joint] > 0.5]
        offset = vertices[own] - joints[joint]
        lengths = np.linalg.norm(offset[offset[:, 2] > 0], axis=1)
        round_enough = len(lengths) >= _LEAST_BALL and lengths.min() > _ROUND * lengths.max()
        if not round_enough or np.linalg.norm(offset.mean(0)) > _OFF_CENTER * lengths.max():
            raise HeadsplatError(
                f"{head.name}: the eye joints do not lie inside eyeballs of their own; give a model with eyeballs"
            )
        balls.append(Eyeball(own, joints[joint], float(lengths.max())))
    skin = np.ones(len(vertices), bool)
    skin[np.concatenate([ball.vertices for ball in balls])] = False
    return Anatomy(vertices, faces, skin, *balls)


def eye_colors(offset: Floats) -> Floats:
    """Colors [N,3] sRGB of eyeball vertices at `offset` [N,3] from the center, looking along +z."""
    angle = np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2])
    starts = np.array([start for start, _ in _EYE_COLORS])
    return np.array([color for _, color in _EYE_COLORS])[np.searchsorted(starts, angle, side="right") - 1]
