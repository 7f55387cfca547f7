"""Refinement of a whole clip: poses frame by frame, failed frames flagged, motion smoothed, expressions refined."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.geometry.rotations import matrix_to_axis_angle, mean_rotation
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.refine.acceptance import accept_changes
from avatar.refine.controls import Controls
from avatar.refine.crops import head_targets
from avatar.refine.expressions import refine_expressions
from avatar.refine.options import RefineOptions
from avatar.refine.poses import BonePoses, PoseFit, refine_poses
from avatar.refine.smooth import jitter, smooth_controls, smooth_poses
from avatar.refine.states import add_by_row
from avatar.refine.targets import Targets
from avatar.types import TorsoPose

#: Factor of the information of a flagged frame's pose in the smoothing.
_FLAGGED_TRUST = 0.01
#: The refinement of a frame failed if its final cost is larger than this times the median.
_BAD_COST = 4.0
#: Seconds between the states that are fitted first, then second, and so on: each time those between the fitted ones.
_KEY_GAPS = (0.6, 0.3, 0.17, 0.09)
#: Ridge of the torso map, in features squared per frame: small motion of the torso where the frames do not show it.
_TORSO_RIDGE = 0.005


@dataclass(frozen=True)
class ClipFit:
    """The result of a refinement of S states."""

    states: HeadStates
    flagged: Tensor  # [S] bool: the refinement failed
    cost: tuple[float, float]  # mean over the states fitted first, before the fit of poses and before its last step
    turn_deg: Tensor  # [3] mean absolute change of rotation about each world axis
    shift_cm: Tensor  # [3] mean absolute change of position along each world axis
    jitter: tuple[dict[str, float], dict[str, float]]  # of the initial poses and of the result, before acceptance
    seconds: float
    reverted: Tensor  # [S] bool: all or a part of the change made a region of the head worse and was taken back

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers from which `restored` makes the same result."""
        params = self.states.params
        torso = self.states.torso
        bust = () if torso is None else (torso.rotation, torso.translation)
        return {
            "params": (params.expression, params.joint_rot, params.translation),
            "poses": (self.states.rotation, self.states.translation, *bust),
            "found": (self.flagged, self.turn_deg, self.shift_cm, self.reverted),
            "numbers": (self.cost, self.jitter, self.seconds),
        }

    @staticmethod
    def from_state(state: dict[str, Any], before: HeadStates, head: HeadModel) -> ClipFit:
        """The inverse of `state`.

        Args:
            state: as `state()` returned it.
            before: any states of the same time steps.
            head: the baked head.
        """
        expression, joint_rot, translation = state["params"]
        params = replace(before.params, expression=expression, joint_rot=joint_rot, translation=translation)
        rotation, position, *torso = state["poses"]
        states = replace(HeadStates.of(params, head), rotation=rotation, translation=position)
        if torso:
            states = replace(states, torso=TorsoPose(*torso))
        flagged, turn, shift, *more = state["found"]
        reverted = more[0] if more else torch.zeros_like(flagged)  # checkpoints of earlier versions have none
        cost, jitters, seconds = state["numbers"]
        return ClipFit(states, flagged, tuple(cost), turn, shift, tuple(jitters), seconds, reverted)

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain numbers, for reports and headers."""
        return {
            "frames": len(self.flagged),
            "flagged": int(self.flagged.sum()),
            "reverted": int(self.reverted.sum()),
            "cost_before": round(self.cost[0], 2),
            "cost_after": round(self.cost[1], 2),
            "turn_deg": [round(float(value), 3) for value in self.turn_deg],
            "shift_cm": [round(float(value), 3) for value in self.shift_cm],
            "jitter_before": {name: round(value, 4) for name, value in self.jitter[0].items()},
            "jitter_after": {name: round(value, 4) for name, value in self.jitter[1].items()},
            "seconds": round(self.seconds, 2),
        }


def refine_clip(
    avatar: Avatar,
    frames: TrainingFrames,
    options: RefineOptions,
    *,
    keep_mean: bool = False,
    trained_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClipFit:
    """Refine the poses (and the expressions, by `options`) of all states of `frames` against `avatar`.

    Args:
        avatar: the avatar; it is not changed.
        frames: images and initial states.
        options: weights and limits.
        keep_mean: remove the mean change, so that the head keeps the tracker's frame of reference: for frames on which
            the avatar is trained further.
        trained_size: longer side of the images on which the avatar was trained; None: that of `frames`.
        progress: called with (states done, S).
    """
    started = clock.perf_counter()
    states = frames.states
    fit, flagged, posed = _fit_poses(avatar, frames, options, trained_size, keep_mean=keep_mean, progress=progress)
    result = posed
    others = [posed]
    if options.expressions and not states.still:
        trust = np.where(flagged.cpu().numpy(), _FLAGGED_TRUST, 1.0)
        targets = head_targets(avatar, frames, posed, options.expression_size, trained_size)
        expressed = refined_expressions(avatar, targets, posed, trust, frames.time, options, progress)
        result = expressed
        others = [expressed, posed]
        if not keep_mean:
            result = with_head(avatar, frames, expressed, trust, options, trained_size)
    reverted = torch.zeros_like(flagged)
    # The avatar does not show poses with the mean change removed before it is trained on them.
    if not keep_mean and not states.still:
        result, reverted = accept_changes(avatar, frames, states, result, others, options.accept_loss)
    known = fit.cost_before.isfinite()
    before, after = (BonePoses.of(avatar, each, torso=False) for each in (states, result))
    change = matrix_to_axis_angle(after.rotation[:, 0] @ before.rotation[:, 0].transpose(1, 2))
    return ClipFit(
        result,
        flagged,
        (float(fit.cost_before[known].mean()), float(fit.cost[known].mean())),
        change.abs().mean(0).rad2deg(),
        100 * (after.translation[:, 0] - before.translation[:, 0]).abs().mean(0),
        (jitter(before, frames.time), jitter(after, frames.time)),
        clock.perf_counter() - started,
        reverted,
    )


def _fit_poses(
    avatar: Avatar,
    frames: TrainingFrames,
    options: RefineOptions,
    trained_size: int | None,
    *,
    keep_mean: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[PoseFit, Tensor, HeadStates]:
    """The fit of poses to whole images, failed states [S], and the states with the smoothed poses."""
    states = frames.states
    if states.still:
        options = replace(options, torso=False)
    start = BonePoses.of(avatar, states, options.torso)
    fit = _poses_of_keys_first(avatar, frames, Targets.of(frames, options.size, trained_size), options, progress)
    weight = add_by_row(torch.zeros_like(fit.cost), frames.step, frames.weight.double())
    cost = fit.cost / weight.clamp_min(1e-3)
    poses = fit.poses
    bad = cost > _BAD_COST * cost.median()
    flagged = bad | find_diverged(poses, start, frames, options)
    if keep_mean and not flagged.all():
        poses = without_mean_change(poses, start, ~flagged)
        flagged = bad | find_diverged(poses, start, frames, options)
    poses = start.where(flagged, poses)
    if states.still:  # what changes from frame to frame is the error of each camera
        return fit, flagged, with_poses(states, poses)
    trust = np.where(flagged.cpu().numpy(), _FLAGGED_TRUST, 1.0)
    smooth = smooth_poses(replace(fit, poses=poses), trust, frames.time, options, share_depth_axis(frames))
    return fit, flagged, with_poses(states, smooth)


def _poses_of_keys_first(
    avatar: Avatar,
    frames: TrainingFrames,
    targets: Targets,
    options: RefineOptions,
    progress: Callable[[int, int], None] | None,
) -> PoseFit:
    """The fit of all states; most start from the changes of states before and after, which saves evaluations.

    Their initial cost is then not that of the initial poses: `cost_before` is NaN.
    """
    states = frames.states
    start = BonePoses.of(avatar, states, options.torso)
    left = np.ones(len(states), bool)
    done: PoseFit | None = None
    rows = torch.zeros(0, dtype=torch.int64, device=frames.step.device)  # the states of `done`
    for gap in (*_KEY_GAPS, 0.0):
        chosen = left & key_states(frames.time, gap)
        left &= ~chosen
        new = torch.from_numpy(np.flatnonzero(chosen)).to(rows.device)
        if done is not None and not len(new):
            continue
        initial = start
        if done is not None:
            good = done.cost <= _BAD_COST * done.cost.median()
            if good.any():
                initial = start.with_changes(rows[good], done.poses[good], frames.time, done.pivots)
        images, step = targets.of_states(new)
        report = None if progress is None else _after(progress, len(rows), len(states))
        fit = refine_poses(avatar, replace(images, step=step), states[new], options, report, initial=initial[new])
        if done is not None:
            fit = replace(fit, cost_before=torch.full_like(fit.cost_before, torch.nan))  # not that of the initial poses
            fit = PoseFit.joined([done, fit], torch.cat([rows, new]))
        done = fit
        rows = torch.cat([rows, new]).sort().values
    assert done is not None
    return done


def _after(progress: Callable[[int, int], None], done: int, states: int) -> Callable[[int, int], None]:
    """The progress of a part that begins after `done` of all `states`."""
    return lambda part, _: progress(done + part, states)


def key_states(time: np.ndarray, gap: float) -> np.ndarray:
    """Mask [S] of states at `time` [S] (seconds, increasing) that are at most `gap` apart where others are between."""
    key = np.ones(len(time), bool)
    last = 0
    for index in range(1, len(time) - 1):
        key[index] = time[index + 1] - time[last] > gap
        if key[index]:
            last = index
    return key


def with_head(
    avatar: Avatar,
    frames: TrainingFrames,
    states: HeadStates,
    trust: np.ndarray,
    options: RefineOptions,
    trained_size: int | None,
) -> HeadStates:
    """States [S] whose skull is fitted further to crops of the head and of the face, at their own resolution.

    The expressions must fit already: else the skull moves to where they are wrong.

    Args:
        avatar: the avatar; it is not changed.
        frames: images and cameras.
        states: [S] the initial values.
        trust: [S] 0..1, factor of the information of each frame in the smoothing; a small one keeps the initial pose.
        options: weights and limits.
        trained_size: longer side of the images on which the avatar was trained; None: that of `frames`.
    """
    if not options.head_iterations:
        return states
    targets = head_targets(avatar, frames, states, options.size, trained_size)
    limits = replace(options, torso=False, iterations=options.head_iterations)
    fit = refine_poses(avatar, targets, states, limits, face_weight=options.face_weight)
    initial = torch.from_numpy(trust < 1).to(states.rotation.device)
    fixed = replace(fit, poses=BonePoses.of(avatar, states, torso=False).where(initial, fit.poses))
    return with_poses(states, smooth_poses(fixed, trust, frames.time, options, share_depth_axis(frames)))


def with_poses(states: HeadStates, poses: BonePoses) -> HeadStates:
    """`states` [S] with other poses [S]; without a torso in `poses` that of `states` stays."""
    rotation = poses.rotation.float()
    translation = poses.translation.float()
    torso = states.torso
    if states.still:
        torso = TorsoPose(rotation[:, 0].contiguous(), translation[:, 0].contiguous())
    elif rotation.shape[1] > 1:
        torso = TorsoPose(rotation[:, 1].contiguous(), translation[:, 1].contiguous())
    return replace(
        states, rotation=rotation[:, 0].contiguous(), translation=translation[:, 0].contiguous(), torso=torso
    )


def refined_expressions(
    avatar: Avatar,
    targets: Targets,
    states: HeadStates,
    trust: np.ndarray,
    time: np.ndarray,
    options: RefineOptions,
    progress: Callable[[int, int], None] | None = None,
) -> HeadStates:
    """States with refined and smoothed expressions of lips, lids and brows, and gaze.

    Args:
        avatar: the avatar; it is not changed.
        targets: images of the states.
        states: [S] the initial values.
        trust: [S] 0..1, factor of the information of each frame in the smoothing.
        time: [S] seconds, increasing.
        options: weights and limits.
        progress: called with (states done, S).
    """
    controls = Controls.of(avatar.head)
    fit = refine_expressions(avatar, targets, states, controls, options, progress)
    values = smooth_controls(fit.values, fit.information, trust, time, controls, options.smooth_data)
    params = controls.write(states.params, values)
    refined = HeadStates.of(params, avatar.head)
    return replace(refined, rotation=states.rotation, translation=states.translation, torso=states.torso)


def share_depth_axis(frames: TrainingFrames) -> bool:
    """Whether all cameras look along the world's z axis, so that positions along it are the least certain."""
    return bool((frames.camera.world_to_cam[:, 2, 2].abs() > 0.9).all())


def without_mean_change(poses: BonePoses, start: BonePoses, counted: Tensor) -> BonePoses:
    """Poses without the mean change of the skull's pose, in the skull frame; poses of the torso stay.

    All skull frames are moved by the same motion, so they fit an avatar moved by its inverse as well as before.

    Args:
        poses: poses after the fit.
        start: poses before the fit.
        counted: [S] bool, states whose changes enter the mean.
    """
    rotation = poses.rotation.clone()
    translation = poses.translation.clone()
    before = start.rotation[:, 0].transpose(1, 2)
    turn = mean_rotation((before @ rotation[:, 0])[counted])
    rotation[:, 0] = rotation[:, 0] @ turn.T
    change = (before @ (translation[:, 0] - start.translation[:, 0])[..., None])[counted].mean(0)
    shift = torch.linalg.solve((before @ rotation[:, 0])[counted].mean(0), change)
    translation[:, 0] -= (rotation[:, 0] @ shift)[..., 0]
    return BonePoses(rotation, translation)


def find_diverged(poses: BonePoses, start: BonePoses, frames: TrainingFrames, options: RefineOptions) -> Tensor:
    """Whether poses of the skull [S] differ from the tracker's by more than the errors of the tracker.

    Args:
        poses: poses after the fit.
        start: poses before the fit, the tracker's.
        frames: images and cameras.
        options: limits of the difference.
    """
    turn = matrix_to_axis_angle(poses.rotation[:, 0] @ start.rotation[:, 0].transpose(1, 2)).norm(dim=-1)
    first = torch.from_numpy(np.unique(frames.step.cpu().numpy(), return_index=True)[1]).to(frames.step.device)
    if len(first) < len(poses):  # time steps without an image do not move
        return torch.zeros_like(turn, dtype=torch.bool)
    view = frames.camera.world_to_cam[first, :3, :3].double()
    shift = (view @ (poses.translation[:, 0] - start.translation[:, 0])[..., None])[..., 0].abs()
    limit = shift.new_tensor([options.trust_shift, options.trust_shift, options.trust_depth])
    return (turn > options.trust_turn) | (shift > limit).any(-1)


@torch.no_grad()
def learn_torso(avatar: Avatar, states: HeadStates) -> None:
    """Fit the rig's torso map, used where the pose of the torso is not known, to the torso poses of `states`."""
    if states.torso is None or states.still:
        return
    torso = avatar.rig.torso
    features = torso.features(states.rotation, states.translation)
    torso.learn_limits(features)
    motion = torso.motion_of_pose(states.torso).double()
    x = features.double()
    ridge = torch.eye(x.shape[1], dtype=x.dtype, device=x.device) * (_TORSO_RIDGE * len(x))
    ridge[0, 0] = 1e-9
    torso.weight.copy_(torch.linalg.solve(x.T @ x + ridge, x.T @ motion).T)
