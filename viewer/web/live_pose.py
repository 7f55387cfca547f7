"""Poses of a live source as messages for the page of the web player."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from avatar.driving.live.samples import AvatarPose
from avatar.model.avatar import Avatar

_DIGITS = 6


@torch.no_grad()
def pose_message(avatar: Avatar, pose: AvatarPose, note: str = "") -> str:
    """JSON of a pose: `expression` [E], `jointRot` [15] and `translation` [3] of the avatar, `torso` [6] where it is
    measured (units of the torso map), the `phase` of the source, and a `note` on it where there is one."""
    params = pose.params
    entries: dict[str, object] = {
        "expression": _round_digits(params.expression[0]),
        "jointRot": _round_digits(params.joint_rot[0].flatten()),
        "translation": _round_digits(params.translation[0]),
        "phase": pose.phase,
    }
    if note:
        entries["note"] = note
    if pose.torso is not None:
        torso = avatar.rig.torso
        measured = pose.torso.pose(torso, *avatar.head.skull_pose(params))
        entries["torso"] = _round_digits(torso.motion_of_pose(measured)[0])
    return json.dumps(entries, separators=(",", ":"))


def _round_digits(values: Tensor) -> list[float]:
    return [round(value, _DIGITS) for value in values.tolist()]
