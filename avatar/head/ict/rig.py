"""Joints read off blendshapes: what turns with the jaw and the eyes, about which point and how far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.geometry.similarity import fit_similarity
from avatar.head import skinned
from avatar.head.generate.mesh import smoothstep
from avatar.head.regressor import placing_weights
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: places in a head whose eyes are 63 mm apart, meters from between the eyes
_ROOT_AT, _NECK_AT, _HINGE_AT = np.array([0, -0.22, -0.10]), np.array([0, -0.16, -0.096]), np.array([0, -0.013, -0.063])
_EYE_DISTANCE = 0.063
_HINGE_WITHIN = np.array([0.03, 0.05])  # meters in y and z that a fitted hinge may lie from the usual place
_LEAST_MOTION = 0.5  # of the largest: what moves so far when the jaw opens is jaw


@dataclass(frozen=True)
class Rig:
    """Skin weights, joints and how named expressions turn them."""

    joints: Floats  # [J,3] meters
    weights: Floats  # [V,J]
    turns: dict[str, tuple[int, Floats]]  # expression -> joint, axis-angle [3]


def sphere_center(points: Floats) -> Floats:
    """Center [3] of the sphere through points [N,3]; the farthest third from it (the iris's hollow) is left out."""
    for _ in range(3):
        system = np.hstack([2 * points, np.ones((len(points), 1))])
        center = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]
        radii = np.linalg.norm(points - center, axis=1)
        off = np.abs(radii - np.median(radii))
        points = points[off <= np.quantile(off, 0.67)]
    return center


def rigid_turn(points: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Rotation [3,3] and shift [3] that carry points [N,3] nearest to `moved` [N,3]."""
    turn, _ = fit_similarity(points, moved)
    return turn, moved.mean(0) - turn @ points.mean(0)


def find_rig(vertices: Floats, shapes: dict[str, Floats], parts: dict[str, Mask]) -> Rig:
    """The rig of a neutral mesh and its blendshapes.

    Args:
        vertices: [V,3] meters, the origin between the eyeballs.
        shapes: expression -> displacements [V,3] at a weight of 1.
        parts: masks [V] with `eyeball_left`, `eyeball_right`, `jaw_bone` (the lower teeth, or what stands for them)
            and `skull_bone` (the upper teeth).
    """
    eyes = [sphere_center(vertices[parts[f"eyeball_{side}"]]) for side in ("left", "right")]
    size = float(np.linalg.norm(eyes[0] - eyes[1])) / _EYE_DISTANCE
    bone = parts["jaw_bone"]
    hinge, angle = _hinge(vertices[bone], vertices[bone] + shapes["jawOpen"][bone], size)
    turns: dict[str, tuple[int, Floats]] = {"jawOpen": (JAW, np.array([angle, 0, 0]))}
    for name in ("jawLeft", "jawRight"):
        turn, _ = rigid_turn(vertices[bone], vertices[bone] + shapes[name][bone])
        turns[name] = (JAW, Rotation.from_matrix(turn).as_rotvec() * np.array([0, 1, 0]))
    for joint, side, center in ((LEFT_EYE, "Left", eyes[0]), (RIGHT_EYE, "Right", eyes[1])):
        ball = parts[f"eyeball_{side.lower()}"]
        for way in ("Down", "In", "Out", "Up"):
            name = f"eyeLook{way}{side}"
            turn, _ = rigid_turn(vertices[ball] - center, vertices[ball] - center + shapes[name][ball])
            turns[name] = (joint, Rotation.from_matrix(turn).as_rotvec())
    joints = np.stack([_ROOT_AT * size, _NECK_AT * size, hinge, *eyes])
    return Rig(joints, _weights(vertices, shapes["jawOpen"], parts, (hinge, angle, size)), turns)


def jaw_bone(vertices: Floats, opened: Floats, teeth: Mask, pieces: Ints) -> tuple[Mask, Mask]:
    """Masks [V] of the lower and the upper teeth: those pieces that go along with the jaw, and those that stay.

    Without teeth the lower one is whatever moves most.
    """
    length = np.linalg.norm(opened, axis=1)
    lower, upper = np.zeros(len(vertices), bool), np.zeros(len(vertices), bool)
    for piece in np.unique(pieces[teeth]):
        own = teeth & (pieces == piece)
        (lower if length[own].mean() > _LEAST_MOTION * length.max() / 2 else upper)[own] = True
    return (lower if lower.any() else length > 0.9 * length.max()), upper


def _hinge(points: Floats, moved: Floats, size: float) -> tuple[Floats, float]:
    """The point [3] on the middle plane that stays when the jaw opens, and the angle about x in radians."""
    turn, shift = rigid_turn(points, moved)
    angle = float(Rotation.from_matrix(turn).as_rotvec()[0])
    flat = np.eye(2) - turn[1:, 1:]
    usual = _HINGE_AT * size
    place = np.linalg.lstsq(flat, shift[1:], rcond=None)[0] if abs(angle) > 0.02 else usual[1:]
    reach = _HINGE_WITHIN * size
    return np.array([0.0, *np.clip(place, usual[1:] - reach, usual[1:] + reach)]), angle


def _weights(vertices: Floats, opened: Floats, parts: dict[str, Mask], hinge: tuple[Floats, float, float]) -> Floats:
    """Skin weights [V,J]: the jaw's share is how much of its turn a vertex follows, the neck's goes by height."""
    center, angle, size = hinge
    arm = vertices - center
    path = arm @ Rotation.from_rotvec([angle, 0, 0]).as_matrix().T - arm
    length = (path**2).sum(1)
    share = np.clip((opened * path).sum(1) / (length + max(0.02 * length.max(), 1e-12)), 0, 1)
    share[parts["jaw_bone"]], share[parts["skull_bone"]] = 1, 0
    neck = smoothstep(-0.185 * size, -0.122 * size, vertices[:, 1])
    table = np.zeros((len(vertices), len(JOINT_NAMES)))
    table[:, JAW], table[:, NECK], table[:, ROOT] = share, (1 - share) * neck, (1 - share) * (1 - neck)
    for joint, part in ((LEFT_EYE, "eyeball_left"), (RIGHT_EYE, "eyeball_right")):
        table[parts[part]] = np.eye(len(JOINT_NAMES))[joint]
    return table


def before_the_turn(points: Floats, seen: Floats, rig: Rig, name: str) -> Floats:
    """Displacements [V,3] that, the joint then turned by `name`, end where the displacements `seen` [V,3] end."""
    joint, turn = rig.turns[name]
    matrix = Rotation.from_rotvec(turn).as_matrix()
    return skinned.before_the_turn(points, seen, rig.weights[:, joint], rig.joints[joint], matrix)


def regressor(vertices: Floats, rig: Rig, parts: dict[str, Mask]) -> Floats:
    """Weights [J,V] that give each joint from vertices: the smallest ones over slices of the skin, over eyeballs."""
    skin = ~(parts["eyeball_left"] | parts["eyeball_right"])
    table = np.zeros((len(rig.joints), len(vertices)))
    for joint, place in enumerate(rig.joints):
        if joint in (LEFT_EYE, RIGHT_EYE):
            group = np.flatnonzero(parts["eyeball_left" if joint == LEFT_EYE else "eyeball_right"])
        else:
            order = np.argsort(np.where(skin, np.abs(vertices[:, 1] - place[1]), np.inf), kind="stable")
            group = order[: max(40, len(vertices) // 20)]
        table[joint, group] = placing_weights(vertices[group], place)
    return table
