"""A clip refined as a whole: poses frame by frame, runaways flagged, smoothed, and put back into the states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.frames import HeadStates, TrainingFrames
from avatar.geometry import matrix_to_axis_angle, mean_rotation
from avatar.model import Avatar
from avatar.refine.options import RefineOptions
from avatar.refine.pictures import Targets
from avatar.refine.poses import Poses, refine_poses
from avatar.refine.smooth import jitter, smooth_poses
from avatar.rig import TRAVEL_UNIT

#: How far a flagged frame's pose counts against its neighbours'.
_FLAGGED_TRUST = 0.01
#: A frame whose pictures still differ by more than this, times the median, was not understood.
_BAD_COST = 4.0
#: Ridge of the torso map, in features squared, a frame.
_TORSO_RIDGE = 1e-3


@dataclass(frozen=True)
class ClipFit:
    """What a refinement of S states found."""

    states: HeadStates
    flagged: Tensor  # [S] bool: the frame ran away or was not understood
    cost: tuple[float, float]  # mean of a frame, before and after
    turn_deg: Tensor  # [3] mean size of the change about each world axis
    shift_cm: Tensor  # [3]
    jitter: tuple[dict[str, float], dict[str, float]]  # of the start, and of the result
    evaluations: int


def refine_clip(
    avatar: Avatar,
    frames: TrainingFrames,
    time: np.ndarray,
    options: RefineOptions,
    *,
    keep_mean: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ClipFit:
    """Refine the poses of all states of `frames` against `avatar`, as it is.

    Args:
        avatar: what is drawn; it is not changed.
        frames: pictures and where to start.
        time: [S] seconds of the states.
        options: weights and limits.
        keep_mean: take the mean change back, so that the frame of the head stays where the tracker puts it: for
            frames that the avatar goes on to be trained with.
        progress: called with (states done, S).
    """
    states = frames.states
    start = Poses.of(avatar, states, options.torso)
    fit = refine_poses(avatar, Targets.of(frames, options.size), states, options, progress)
    found = without_mean(fit.poses, start) if keep_mean else fit.poses
    flagged = ran_away(found, start, frames, options) | (fit.cost > _BAD_COST * fit.cost.median())
    found = start.where(flagged, found)
    trust = np.where(flagged.numpy(), _FLAGGED_TRUST, 1.0)
    smooth = smooth_poses(replace(fit, poses=found), trust, time, options)
    change = matrix_to_axis_angle(smooth.rotation[:, 0] @ start.rotation[:, 0].transpose(1, 2))
    return ClipFit(
        install(states, smooth),
        flagged,
        (float(fit.cost_before.mean()), float(fit.cost.mean())),
        change.abs().mean(0).rad2deg(),
        100 * (smooth.translation[:, 0] - start.translation[:, 0]).abs().mean(0),
        (jitter(start, time), jitter(smooth, time)),
        fit.evaluations,
    )


def install(states: HeadStates, poses: Poses) -> HeadStates:
    """`states` with the poses `poses`."""
    rotation, translation = poses.rotation.float(), poses.translation.float()
    torso = (rotation[:, 1].contiguous(), translation[:, 1].contiguous()) if rotation.shape[1] > 1 else states.torso
    return replace(
        states, rotation=rotation[:, 0].contiguous(), translation=translation[:, 0].contiguous(), torso=torso
    )


def without_mean(poses: Poses, start: Poses) -> Poses:
    """`poses` with the mean change of the skull's, seen from the skull, taken back; the torso's stay."""
    rotation, translation = poses.rotation.clone(), poses.translation.clone()
    before = start.rotation[:, 0].transpose(1, 2)
    turn = mean_rotation(before @ rotation[:, 0])
    shift = (before @ (translation[:, 0] - start.translation[:, 0])[..., None]).mean(0)
    rotation[:, 0] = rotation[:, 0] @ turn.T
    translation[:, 0] -= (rotation[:, 0] @ shift)[..., 0]
    return Poses(rotation, translation)


def ran_away(poses: Poses, start: Poses, frames: TrainingFrames, options: RefineOptions) -> Tensor:
    """Which skulls [S] left the tracker's pose `start` by more than the tracker can be wrong."""
    turn = matrix_to_axis_angle(poses.rotation[:, 0] @ start.rotation[:, 0].transpose(1, 2)).norm(dim=-1)
    first = torch.zeros(len(poses), dtype=torch.int64).scatter_(0, frames.step, torch.arange(len(frames)))
    view = frames.camera.world_to_cam[first, :3, :3].double()
    shift = (view @ (poses.translation[:, 0] - start.translation[:, 0])[..., None])[..., 0].abs()
    limit = shift.new_tensor([options.trust_shift, options.trust_shift, options.trust_depth])
    return (turn > options.trust_turn) | (shift > limit).any(-1)


@torch.no_grad()
def learn_torso(avatar: Avatar, states: HeadStates) -> None:
    """Fit the rig's torso map, which tells a torso's pose where none is known, to the torsos of `states`."""
    if states.torso is None:
        return
    torso = avatar.rig.torso
    features = torso.features(states.rotation, states.translation)
    torso.learn_limits(features)
    rotation, translation = states.torso
    turn = matrix_to_axis_angle(rotation @ torso.mean_rotation.T)
    pivot = torso.mean_rotation @ torso.pivot + torso.mean_translation
    still = (rotation @ torso.mean_rotation.T @ (torso.mean_translation - pivot)[:, None])[..., 0] + pivot
    motion = torch.cat([turn, (translation - still) / TRAVEL_UNIT], -1).double()
    x = features.double()
    ridge = torch.eye(x.shape[1], dtype=x.dtype) * (_TORSO_RIDGE * len(x))
    ridge[0, 0] = 1e-9
    torso.weight.copy_(torch.linalg.solve(x.T @ x + ridge, x.T @ motion).T)
