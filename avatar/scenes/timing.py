"""The motion of an actor over the time of a scene: before it starts and after it ends the face idles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.driving.driver import drive
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.model.torso import TorsoMap
from avatar.performance.speech.stream_acting import StreamActing
from avatar.types import JOINT_NAMES, ROOT, HeadParams, Motion, TorsoPose

#: Seconds in which a face goes from its motion to idling, and back.
EASE_SECONDS = 0.6


def idle_motion(frames: int, fps: float, seed: int) -> Motion:
    """T `frames` of a face that does nothing but blink, look about a little and breathe."""
    acting = StreamActing(seed, 1.0)
    rows = [acting.at(frame / fps, 0.0) for frame in range(frames)]
    weights, heads, travels = (torch.from_numpy(np.stack(values)) for values in zip(*rows, strict=True))
    joint_rot = torch.zeros(frames, len(JOINT_NAMES), 3)
    joint_rot[:, ROOT] = heads
    time = torch.arange(frames, dtype=torch.float64) / fps
    return Motion(time, ARKIT_52, weights, "arkit52", joint_rot, travels, resting="zero")


def over_scene(
    avatar: Avatar,
    motion: tuple[HeadParams, TorsoPose | None] | None,
    start: int,
    frames: int,
    fps: float,
    seed: int,
) -> tuple[HeadParams, TorsoPose | None]:
    """Parameters for every frame of a scene.

    Args:
        avatar: the avatar.
        motion: parameters and, where it is measured, torso of n frames; None: it idles all the time.
        start: frame of the scene at which the motion starts.
        frames: of the scene, T.
        fps: frames per second.
        seed: of the idle motion.

    Returns:
        T frames; those of the motion are not changed.
    """
    count = 0 if motion is None else min(len(motion[0]), frames - start)
    if motion is not None and start == 0 and count == frames:
        params, torso = motion
        return params[:frames], None if torso is None else torso[slice(0, frames)]
    idle = drive(avatar, idle_motion(frames, fps, seed)).params
    if motion is None or count <= 0:
        return idle, None
    known, torso = motion
    rows = torch.arange(frames) - start
    inside = rows.clamp(0, count - 1)
    away = torch.maximum(-rows, rows - (count - 1)).clamp_min(0) / (EASE_SECONDS * fps)
    part = away.clamp(0, 1)
    part = part * part * (3 - 2 * part)
    own = avatar.with_identity(known)[inside]
    mixed = _mixed(own, avatar.with_identity(idle), part)
    if torso is None:
        return mixed, None
    measured = avatar.rig.torso.motion_of_pose(torso)[inside]
    mapped = _mapped(avatar.rig.torso, *avatar.head.skull_pose(mixed))
    weight = part[:, None]
    pose = avatar.rig.torso.pose(measured + weight * (mapped - measured))
    still = (part == 0)[:, None]
    return mixed, TorsoPose(
        torch.where(still[..., None], torso.rotation[inside], pose.rotation),
        torch.where(still, torso.translation[inside], pose.translation),
        pose.motion,
    )


def _mapped(torso: TorsoMap, rotation: Tensor, translation: Tensor) -> Tensor:
    with torch.no_grad():
        return torso.motion(rotation, translation)


def _mixed(one: HeadParams, other: HeadParams, part: Tensor) -> HeadParams:
    """From `one` at part 0 to `other` at part 1; frames at 0 and 1 are not changed."""
    names = ("expression", "joint_rot", "translation")
    changes: Mapping[str, Any] = {name: _lerp(getattr(one, name), getattr(other, name), part) for name in names}
    return replace(one, **changes)


def _lerp(one: Tensor, other: Tensor, part: Tensor) -> Tensor:
    weight = part.view(-1, *[1] * (one.ndim - 1)).to(one)
    return torch.where(weight == 0, one, one + weight * (other - one))
