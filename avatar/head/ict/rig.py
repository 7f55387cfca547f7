"""Joints fitted to blendshapes: skin weights, joint positions and rotations of jaw and eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.geometry.similarity import fit_similarity
from avatar.head import skinning
from avatar.head.anatomy.mesh import smoothstep
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: joint positions in a head with an eye distance of 63 mm, meters from the point between the eyes
_ROOT = np.array([0, -0.22, -0.10])
_NECK = np.array([0, -0.16, -0.096])
_HINGE = np.array([0, -0.013, -0.063])
_EYE_DISTANCE = 0.063
_MAX_HINGE_OFFSET = np.array([0.03, 0.05])  # meters in y and z of a fitted hinge from the default position
_MIN_JAW_MOTION = 0.5  # of the largest motion: teeth that move more than half of this with jawOpen are lower teeth


@dataclass(frozen=True)
class Rig:
    """Joints, skin weights, and the joint rotations of named expressions."""

    joints: Floats  # [J,3] meters
    weights: Floats  # [V,J]
    rotations: dict[str, tuple[int, Floats]]  # expression -> joint, axis-angle [3] radians at weight 1


def sphere_center(points: Floats) -> Floats:
    """Center [3] of the sphere fitted to points [N,3]; the third with the largest residuals (the iris) is ignored."""
    for _ in range(3):
        system = np.hstack([2 * points, np.ones((len(points), 1))])
        center = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]
        radii = np.linalg.norm(points - center, axis=1)
        residual = np.abs(radii - np.median(radii))
        points = points[residual <= np.quantile(residual, 0.67)]
    return center


def fit_rigid(points: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Rotation [3,3] and translation [3] of the least-squares rigid transform from points [N,3] to `moved` [N,3]."""
    rotation, _ = fit_similarity(points, moved)
    return rotation, moved.mean(0) - rotation @ points.mean(0)


def find_rig(vertices: Floats, shapes: dict[str, Floats], parts: dict[str, Mask]) -> Rig:
    """Fit the rig of a neutral mesh and its blendshapes.

    Args:
        vertices: [V,3] meters, the origin between the eyeballs.
        shapes: expression -> displacements [V,3] meters at weight 1.
        parts: masks [V] with `eyeball_left`, `eyeball_right`, `jaw_bone` (lower teeth, see `split_teeth`) and
            `skull_bone` (upper teeth).

    Returns:
        The rig.
    """
    eyes = [sphere_center(vertices[parts[f"eyeball_{side}"]]) for side in ("left", "right")]
    scale = float(np.linalg.norm(eyes[0] - eyes[1])) / _EYE_DISTANCE
    bone = parts["jaw_bone"]
    hinge, angle = _hinge(vertices[bone], vertices[bone] + shapes["jawOpen"][bone], scale)
    rotations: dict[str, tuple[int, Floats]] = {"jawOpen": (JAW, np.array([angle, 0, 0]))}
    for name in ("jawLeft", "jawRight"):
        matrix, _ = fit_rigid(vertices[bone], vertices[bone] + shapes[name][bone])
        rotations[name] = (JAW, Rotation.from_matrix(matrix).as_rotvec() * np.array([0, 1, 0]))
    for joint, side, center in ((LEFT_EYE, "Left", eyes[0]), (RIGHT_EYE, "Right", eyes[1])):
        ball = parts[f"eyeball_{side.lower()}"]
        for direction in ("Down", "In", "Out", "Up"):
            name = f"eyeLook{direction}{side}"
            matrix, _ = fit_rigid(vertices[ball] - center, vertices[ball] - center + shapes[name][ball])
            rotations[name] = (joint, Rotation.from_matrix(matrix).as_rotvec())
    joints = np.stack([_ROOT * scale, _NECK * scale, hinge, *eyes])
    return Rig(joints, _weights(vertices, shapes["jawOpen"], parts, (hinge, angle, scale)), rotations)


def split_teeth(vertices: Floats, opened: Floats, teeth: Mask, labels: Ints) -> tuple[Mask, Mask]:
    """Split the teeth into components that move with the jaw and components that do not.

    Args:
        vertices: [V,3] meters.
        opened: [V,3] displacements of jawOpen, meters.
        teeth: [V] mask, may be empty.
        labels: [V] connected component of each vertex.

    Returns:
        Masks [V] of the lower teeth (without teeth: the vertices that move most) and of the upper teeth.
    """
    length = np.linalg.norm(opened, axis=1)
    lower = np.zeros(len(vertices), bool)
    upper = np.zeros(len(vertices), bool)
    for label in np.unique(labels[teeth]):
        component = teeth & (labels == label)
        moves = length[component].mean() > _MIN_JAW_MOTION * length.max() / 2
        (lower if moves else upper)[component] = True
    return (lower if lower.any() else length > 0.9 * length.max()), upper


def _hinge(points: Floats, moved: Floats, scale: float) -> tuple[Floats, float]:
    """The fixed point [3] of the opening jaw on the middle plane (meters), and its angle about x (radians)."""
    rotation, translation = fit_rigid(points, moved)
    angle = float(Rotation.from_matrix(rotation).as_rotvec()[0])
    in_plane = np.eye(2) - rotation[1:, 1:]
    default = _HINGE * scale
    hinge = np.linalg.lstsq(in_plane, translation[1:], rcond=None)[0] if abs(angle) > 0.02 else default[1:]
    limit = _MAX_HINGE_OFFSET * scale
    return np.array([0.0, *np.clip(hinge, default[1:] - limit, default[1:] + limit)]), angle


def _weights(vertices: Floats, opened: Floats, parts: dict[str, Mask], hinge: tuple[Floats, float, float]) -> Floats:
    """Skin weights [V,J]: the jaw's by the part of its rotation that a vertex follows, the neck's by height.

    Args:
        vertices: [V,3] meters.
        opened: [V,3] displacements of jawOpen, meters.
        parts: masks [V].
        hinge: position [3] in meters, opening angle in radians, scale of the head.

    Returns:
        [V,J] rows sum to 1.
    """
    center, angle, scale = hinge
    arm = vertices - center
    path = arm @ Rotation.from_rotvec([angle, 0, 0]).as_matrix().T - arm
    length = (path**2).sum(1)
    jaw = np.clip((opened * path).sum(1) / (length + max(0.02 * length.max(), 1e-12)), 0, 1)
    jaw[parts["jaw_bone"]] = 1
    jaw[parts["skull_bone"]] = 0
    neck = smoothstep(-0.185 * scale, -0.122 * scale, vertices[:, 1])
    table = np.zeros((len(vertices), len(JOINT_NAMES)))
    table[:, JAW] = jaw
    table[:, NECK] = (1 - jaw) * neck
    table[:, ROOT] = (1 - jaw) * (1 - neck)
    for joint, part in ((LEFT_EYE, "eyeball_left"), (RIGHT_EYE, "eyeball_right")):
        table[parts[part]] = np.eye(len(JOINT_NAMES))[joint]
    return table


def rest_displacements(points: Floats, displacements: Floats, rig: Rig, name: str) -> Floats:
    """Displacements in the rest pose of an expression that also rotates a joint.

    Args:
        points: [V,3] meters.
        displacements: [V,3] of the expression after the rotation, meters.
        rig: joints, weights and rotations.
        name: of the expression.

    Returns:
        Displacements [V,3] in meters.
    """
    joint, rotation = rig.rotations[name]
    matrix = Rotation.from_rotvec(rotation).as_matrix()
    weights = rig.weights[:, joint]
    position = rig.joints[joint]
    return skinning.rest_displacements(points, displacements, weights, position, matrix)


def regressor(vertices: Floats, rig: Rig, parts: dict[str, Mask]) -> Floats:
    """Joint regressor [J,V]: minimum-norm weights over a horizontal slice of the skin or over an eyeball."""
    skin = ~(parts["eyeball_left"] | parts["eyeball_right"])
    table = np.zeros((len(rig.joints), len(vertices)))
    for joint, position in enumerate(rig.joints):
        if joint in (LEFT_EYE, RIGHT_EYE):
            group = np.flatnonzero(parts["eyeball_left" if joint == LEFT_EYE else "eyeball_right"])
        else:
            order = np.argsort(np.where(skin, np.abs(vertices[:, 1] - position[1]), np.inf), kind="stable")
            group = order[: max(40, len(vertices) // 20)]
        table[joint, group] = skinning.joint_regressor_weights(vertices[group], position)
    return table
