"""A FLAME file as a HeadModel without landmarks, added parts, controls and textures; its eyeballs and skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.head.sheets import View, rasterize_view
from avatar.types import LEFT_EYE, RIGHT_EYE

from .source import PARENTS, FlameArrays
from .surface import Floats, Ints, Mask, component_labels

_MIN_EYEBALL_VERTICES = 12  # in front of its center
_MIN_ROUNDNESS = 0.75  # smallest over largest distance from the center
_MAX_OFF_CENTER = 0.6  # distance of the vertices' mean from the joint, in radii; an eyeball may be open at the back
_VISIBILITY_PIXELS = 768  # per side: 0.4 mm per pixel resolves a lip's edge
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
    """The vertices, center and size of one eyeball."""

    vertices: Ints  # [N]
    center: Floats  # [3] meters, the eye joint
    radius: float  # meters, the largest of the front half


@dataclass(frozen=True)
class Anatomy:
    """Skin and eyeballs of a FLAME mesh, in meters with the origin between the eyeballs."""

    vertices: Floats  # [V,3]
    faces: Ints  # [F,3]
    skin: Mask  # [V] all vertices except the eyeballs
    left: Eyeball
    right: Eyeball

    @property
    def skin_faces(self) -> Ints:
        """Indices [N] of the skin faces."""
        return np.flatnonzero(self.skin[self.faces].all(1))

    @cached_property
    def visible(self) -> Ints:
        """Skin faces [N] visible from the front and the sides: without the inside of the mouth and the eye sockets."""
        vertices = torch.from_numpy(self.vertices).float()
        faces = torch.from_numpy(self.faces)
        visible = np.zeros(len(faces), bool)
        for yaw in (-70.0, -35.0, 0.0, 35.0, 70.0):
            for pitch in (-25.0, 0.0, 25.0):
                view = View(yaw=yaw, pitch=pitch, center=(0.0, -0.02, -0.03), extent=0.3)
                _, face, _ = rasterize_view(faces, vertices, view, _VISIBILITY_PIXELS)
                visible[face[face >= 0].numpy()] = True
        return np.flatnonzero(visible & self.skin[self.faces].all(1))


def file_head(arrays: FlameArrays) -> HeadModel:
    """The file's model with the origin moved between the eyeballs; landmarks, regions and UVs are empty."""
    joints = arrays.regressor @ arrays.v_template
    template = arrays.v_template - (joints[LEFT_EYE] + joints[RIGHT_EYE]) / 2
    count = len(template)
    expressions = arrays.expressions.shape[2]
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


def find_anatomy(head: HeadModel) -> Anatomy:
    """Eyeballs (components skinned to an eye joint) and skin of a `file_head`.

    Raises:
        HeadsplatError: an eye joint has no eyeball around it.
    """
    vertices = head.v_template.double().numpy()
    faces = head.faces.numpy()
    weights = head.lbs_weights.numpy()
    joints = head.joint_locations(head.neutral_params().identity).double().numpy()
    labels = component_labels(faces, len(vertices))
    balls = []
    for joint in (LEFT_EYE, RIGHT_EYE):
        skinned = np.bincount(labels[weights[:, joint] > 0.5], minlength=labels.max() + 1)
        ids = np.flatnonzero(labels == skinned.argmax())
        ids = ids[weights[ids, joint] > 0.5]
        offset = vertices[ids] - joints[joint]
        lengths = np.linalg.norm(offset[offset[:, 2] > 0], axis=1)
        is_round = len(lengths) >= _MIN_EYEBALL_VERTICES and lengths.min() > _MIN_ROUNDNESS * lengths.max()
        if not is_round or np.linalg.norm(offset.mean(0)) > _MAX_OFF_CENTER * lengths.max():
            raise HeadsplatError(
                f"{head.name}: the eye joints do not lie inside eyeballs of the mesh; give a model with eyeballs"
            )
        balls.append(Eyeball(ids, joints[joint], float(lengths.max())))
    skin = np.ones(len(vertices), bool)
    skin[np.concatenate([ball.vertices for ball in balls])] = False
    return Anatomy(vertices, faces, skin, *balls)


def eye_colors(offset: Floats) -> Floats:
    """Colors [N,3] sRGB of eyeball vertices at `offset` [N,3] from the center; the gaze is along +z."""
    angle = np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2])
    starts = np.array([start for start, _ in _EYE_COLORS])
    return np.array([color for _, color in _EYE_COLORS])[np.searchsorted(starts, angle, side="right") - 1]
