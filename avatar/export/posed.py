"""Head parameters of an avatar for named expression weights and a head rotation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from avatar.driving.trained_range import TrainedRange
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.resting import at_mean_pose
from avatar.motion import load_bridge
from avatar.types import NECK, HeadParams


def posed(
    avatar: Avatar, expression: Mapping[str, float] | None = None, head_pose: Sequence[float] = (0.0, 0.0, 0.0)
) -> HeadParams:
    """Head parameters of one frame at the mean head position with a given expression and rotation.

    Args:
        avatar: the avatar.
        expression: weights by name, added to the avatar's neutral expression. Names are those of the avatar's head or
            ARKit's, which a bridge retargets to a head with other names. The sum is clamped to the limits of the head,
            unless the weight alone exceeds them.
        head_pose: yaw to the person's left, pitch down and roll to the person's right shoulder, in degrees, from
            the mean pose; roll is applied first, yaw last.

    Returns:
        Parameters [1].

    Raises:
        HeadsplatError: a name is not of the avatar's head and not ARKit's.
    """
    head = avatar.head
    added, joint_rot = _retarget(avatar, dict(expression or {}))
    low, high = head.expression_limits
    weights = (avatar.neutral + added).clamp(torch.minimum(low, added), torch.maximum(high, added))
    rotation = avatar.rig.torso.mean_rotation @ head_turn(head_pose).to(weights)
    params = at_mean_pose(avatar, weights, rotation[None])
    params.joint_rot[:, NECK + 1 :] = joint_rot[:, NECK + 1 :]
    return params


def head_turn(degrees: Sequence[float]) -> Tensor:
    """The rotation [3,3] of yaw, pitch and roll in degrees about the world's y, x and z; roll is applied first."""
    yaw, pitch, roll = degrees
    angles = torch.tensor([[0.0, yaw, 0.0], [pitch, 0.0, 0.0], [0.0, 0.0, roll]])
    about_y, about_x, about_z = axis_angle_to_matrix(angles.deg2rad())
    return about_y @ about_x @ about_z


def out_of_range(avatar: Avatar, expression: Mapping[str, float]) -> list[str]:
    """A message for each weight outside the limits of the head or far outside the trained range."""
    head = avatar.head
    trained_range = TrainedRange.of(avatar)
    shown = posed(avatar, expression).expression[0]
    messages = []
    for name, weight in expression.items():
        row = head.expression_names.index(name) if name in head.expression_names else None
        low, high = (0.0, 1.0) if row is None else head.expression_limits[:, row].tolist()
        if not low <= weight <= high:
            messages.append(f"{name}={weight:g} is outside {low:g}..{high:g}: the face is extrapolated")
        elif row is not None and float(shown[row]) > float(trained_range.high[row] + trained_range.margin[row]):
            messages.append(
                f"{name}: {float(shown[row]):.2f} with the neutral expression, trained up to "
                f"{float(trained_range.high[row]):.2f}: the appearance is extrapolated"
            )
    return messages


def _retarget(avatar: Avatar, expression: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Weights [1,E] of the avatar's head and joint rotations [1,J,3] for weights by name."""
    head = avatar.head
    native = {name: weight for name, weight in expression.items() if name in head.expression_names}
    foreign = {name: weight for name, weight in expression.items() if name not in native}
    neutral = head.neutral_params()
    weights = neutral.expression
    joint_rot = neutral.joint_rot
    if foreign:
        arkit = load_head()
        for name in foreign:
            if "arkit" in head.capabilities or name not in arkit.expression_names:
                raise unknown_expression("--expression", name, (*head.expression_names, *arkit.expression_names))
        arkit_params = arkit.neutral_params()
        for name, weight in foreign.items():
            arkit_params.expression[0, arkit.expression_index(name)] = weight
        weights, joint_rot = load_bridge(arkit, head)(arkit_params.expression, arkit_params.joint_rot)
    for name, weight in native.items():
        weights[0, head.expression_index(name)] += weight
    return weights, joint_rot


def unknown_expression(option: str, name: str, known: Iterable[str]) -> HeadsplatError:
    """The error for an expression of `option` whose name is none of `known`."""
    spelled = {entry.lower(): entry for entry in known}
    near = [spelled[entry] for entry in difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.5)]
    hint = f"similar names: {', '.join(near)}" if near else "`headsplat info AVATAR` lists the names"
    return HeadsplatError(f"{option}: unknown expression {name!r}; {hint}")
