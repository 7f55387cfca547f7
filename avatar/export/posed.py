"""A pose in words: named expressions and the head's turn, as parameters of an avatar."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from avatar.driving.trained_range import TrainedRange, margin_of
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.motion import load_bridge
from avatar.types import NECK, ROOT, HeadParams


def posed(
    avatar: Avatar, expression: Mapping[str, float] | None = None, head_pose: Sequence[float] = (0.0, 0.0, 0.0)
) -> HeadParams:
    """One frame of `avatar` at its mean place with a chosen face.

    Args:
        avatar: whom to pose.
        expression: weights by name, added to the person's resting face: names of the avatar's head, or ARKit's, which
            a bridge carries to a head that has others. Limits hold for the sum, unless the weight itself exceeds them.
        head_pose: yaw to the person's left, pitch down and roll to the person's right shoulder, in degrees, from
            the mean pose; the roll turns first, the yaw last.

    Returns:
        Parameters [1].

    Raises:
        HeadsplatError: a name is neither of the avatar's head nor ARKit's.
    """
    head, torso = avatar.head, avatar.rig.torso
    given, joint_rot = _in_space_of(avatar, dict(expression or {}))
    low, high = head.expression_limits
    weights = (avatar.neutral + given).clamp(torch.minimum(low, given), torch.maximum(high, given))
    rotation = torso.mean_rotation @ head_turn(head_pose).to(torso.mean_rotation)
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
    joint_rot[:, NECK] = 0
    identity = head.v_template.new_zeros(0)
    translation = head.root_translation(identity, rotation[None], torso.mean_translation[None])
    return HeadParams(identity, weights, joint_rot, translation)


def head_turn(degrees: Sequence[float]) -> Tensor:
    """The rotation [3,3] of yaw, pitch and roll in degrees: about y, x and z of the world, z first."""
    yaw, pitch, roll = degrees
    angles = torch.tensor([[0.0, yaw, 0.0], [pitch, 0.0, 0.0], [0.0, 0.0, roll]])
    about_y, about_x, about_z = axis_angle_to_matrix(angles.deg2rad())
    return about_y @ about_x @ about_z


def out_of_range(avatar: Avatar, expression: Mapping[str, float]) -> list[str]:
    """A sentence for each weight that the head was not made for, or that goes far beyond what training showed."""
    head, reach = avatar.head, TrainedRange.of(avatar)
    asked = posed(avatar, expression).expression[0]
    sentences = []
    for name, weight in expression.items():
        row = head.expression_names.index(name) if name in head.expression_names else None
        low, high = (0.0, 1.0) if row is None else head.expression_limits[:, row].tolist()
        if not low <= weight <= high:
            sentences.append(f"{name}={weight:g} lies outside {low:g}..{high:g}: the face is extrapolated")
        elif row is not None and float(asked[row]) > float(reach.high[row]) + margin_of(name):
            sentences.append(
                f"{name}: with the resting face {float(asked[row]):.2f}, and training showed up to "
                f"{float(reach.high[row]):.2f}: what lies beyond is guessed"
            )
    return sentences


def _in_space_of(avatar: Avatar, expression: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Weights [1,E] of the avatar's head and joint rotations [1,J,3] for weights by name."""
    head = avatar.head
    own = {name: weight for name, weight in expression.items() if name in head.expression_names}
    foreign = {name: weight for name, weight in expression.items() if name not in own}
    neutral = head.neutral_params()
    weights, joint_rot = neutral.expression, neutral.joint_rot
    if foreign:
        arkit = load_head()
        for name in foreign:
            if "arkit" in head.capabilities or name not in arkit.expression_names:
                raise _unknown(name, (*head.expression_names, *arkit.expression_names))
        asked = arkit.neutral_params()
        for name, weight in foreign.items():
            asked.expression[0, arkit.expression_index(name)] = weight
        weights, joint_rot = load_bridge(arkit, head)(asked.expression, asked.joint_rot)
    for name, weight in own.items():
        weights[0, head.expression_index(name)] += weight
    return weights, joint_rot


def _unknown(name: str, known: Iterable[str]) -> HeadsplatError:
    spelled = {entry.lower(): entry for entry in known}
    near = [spelled[entry] for entry in difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.5)]
    hint = f"near: {', '.join(near)}" if near else "`headsplat info AVATAR` lists the names"
    return HeadsplatError(f"--expression: there is no expression {name!r}; {hint}")
