"""Driving: a motion in any expression space in, head parameters of an avatar out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from avatar.driving.lip_closure import LipClosure, LipContact
from avatar.driving.report import DriveReport
from avatar.driving.retargeting import ExpressionRetargeter
from avatar.driving.trained_range import PoseTarget, TrainedRange
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import mean_rotation
from avatar.head import load_head
from avatar.head.arkit import is_mode
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.resting import resting_expression
from avatar.motion.edit import head_rotation, interpolate_lost_frames
from avatar.types import NECK, HeadParams, Motion

#: Fraction of the recorded head travel that the avatar makes: the recorded person may sit at another distance.
DEFAULT_TRAVEL = 0.5
#: Fewer frames than these do not determine a neutral expression or a mean pose.
MIN_CALIBRATION_FRAMES = 30

Neutral = Literal["resting", "as-is"]
HeadMode = Literal["relative", "absolute", "still"]


@dataclass(frozen=True)
class DriveOptions:
    """How a motion is retargeted."""

    neutral: Neutral = "resting"
    """resting: the resting face of the motion maps to that of the avatar; as-is: weights are not changed, but
    that lips touch where those of a motion with `resting` "zero" do"""
    head: HeadMode = "relative"
    """relative: rotation from the recording's mean pose, applied to the avatar's; absolute: as recorded; still: none"""
    travel: float = DEFAULT_TRAVEL
    """fraction of the head's travel about its mean position"""
    soft_clamp: bool = True
    """limit expressions and poses to the trained range of the avatar"""
    motion_head: HeadModel | None = None
    """the head model that the motion was made for; needed for FLAME's expressions on another head"""


@dataclass(frozen=True, eq=False)
class Driver:
    """Retargets frames of a motion to one avatar. It has no memory: the result of a frame depends on that frame only.

    Frames without a face (confidence 0) are the caller's task: skip them, keep showing the parameters of the frame
    before, and do not pass them to `calibrated`.
    """

    avatar: Avatar
    retargeter: ExpressionRetargeter
    trained_range: TrainedRange
    options: DriveOptions
    source_neutral: Tensor  # [E] weights of the avatar's expressions: neutral expression of the recorded person
    avatar_neutral: Tensor  # [E] neutral expression of the avatar, which replaces it
    mean_rotation: Tensor  # [3,3] mean rotation of the recorded head
    mean_position: Tensor | None  # [3] meters, mean position of the recorded head; None before calibration
    lip_closure: LipClosure | None  # of the avatar's head; None for a head without landmarks
    lip_contact: LipContact | None = None  # between the motion's head and the avatar's, for `Motion.resting` "zero"

    @staticmethod
    def for_motion(avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> Driver:
        """The driver of the frames of `motion`, whose `resting` alone decides how its resting face is known.

        "find": resting face, mean rotation and mean position are those of the recorded person, by `calibrated` with
        all frames that have a face; fewer than `MIN_CALIBRATION_FRAMES` of them give only the position. "zero": zero
        weights are the avatar's neutral expression with closed lips, the head rotates and moves about the avatar's mean
        pose, and the lips touch where those of the motion do.

        Args:
            avatar: the avatar to drive.
            motion: T frames.
            options: None for the defaults.

        Raises:
            HeadsplatError: the motion has no frames or no face, or none of its expressions is of `options.motion_head`.
        """
        full, has_face = with_faces(motion)
        driver = Driver.of(avatar, motion.names, motion.space, options)
        if motion.resting == "find":
            known = full[has_face]
            return driver.calibrated(known.weights, known.joint_rot, known.translation)
        neutral = avatar.neutral
        if driver.lip_closure is not None:
            neutral = driver.lip_closure.close(neutral, neutral[None])
        return replace(
            driver,
            avatar_neutral=neutral,
            mean_position=torch.zeros_like(driver.trained_range.mean_position),
            lip_contact=LipContact.of(motion.names, driver.options.motion_head or load_head(), avatar.head),
        )

    @staticmethod
    def of(avatar: Avatar, names: tuple[str, ...], space: str, options: DriveOptions | None = None) -> Driver:
        """A driver that is not calibrated: the neutral expression of the recording is zero for all weights.

        Until `calibrated`, the mean head rotation is the identity (straight at the camera), and head travel is ignored,
        because it cannot be separated from the position at which the person sits.

        Args:
            avatar: the avatar to drive.
            names: the motion's expressions.
            space: of the motion, "arkit52", "flame" or a capture's.
            options: None for the defaults.
        """
        options = options or DriveOptions()
        retargeter = ExpressionRetargeter.between(tuple(names), space, options.motion_head, avatar.head)
        like = avatar.neutral
        uncalibrated = torch.zeros_like(like), like, torch.eye(3, dtype=like.dtype, device=like.device), None
        trained_range = TrainedRange.of(avatar)
        lip_closure = LipClosure.of(avatar.head)
        return Driver(avatar, retargeter, trained_range, options, *uncalibrated, lip_closure)

    def calibrated(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> Driver:
        """A driver calibrated with frames of the recorded person: neutral expression, mean pose, lip closure.

        With fewer than MIN_CALIBRATION_FRAMES frames only the mean position is set; with no frames nothing changes.

        Args:
            weights: [T,E], frames with a face only.
            joint_rot: [T,J,3] axis-angle radians.
            translation: [T,3] meters.
        """
        if not len(weights):
            return self
        weights, joint_rot, translation = self._to_device(weights, joint_rot, translation)
        positioned = replace(self, mean_position=translation.mean(0))
        if len(weights) < MIN_CALIBRATION_FRAMES:
            return positioned
        expression, _ = self.retargeter(weights, joint_rot)
        neutral = resting_expression(expression)
        gaze = [name.startswith("eyeLook") for name in self.avatar.head.expression_names]
        neutral[gaze] = 0
        rotation = mean_rotation(head_rotation(joint_rot))
        driver = replace(positioned, source_neutral=neutral, mean_rotation=rotation)
        if self.lip_closure is None:
            return driver
        limited = expression.clamp(*self.avatar.head.expression_limits)
        closed = self.lip_closure.close(self.avatar_neutral, driver._replace_neutral(limited))
        return replace(driver, avatar_neutral=closed)

    def __call__(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> HeadParams:
        """Head parameters of the avatar for frames of the motion.

        Args:
            weights: [T,E].
            joint_rot: [T,J,3] axis-angle radians.
            translation: [T,3] meters, of the point that the head turns about.

        Returns:
            T frames.
        """
        target = self.target(weights, joint_rot, translation)
        return self.trained_range.head_params(self.limited(target, weights))

    def target(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> PoseTarget:
        """The retargeted frames before the soft clamp; arguments as for `__call__`."""
        weights, joint_rot, translation = self._to_device(weights, joint_rot, translation)
        expression, remaining_rot = self.retargeter(weights, joint_rot)
        expression = self._replace_neutral(expression.clamp(*self.avatar.head.expression_limits))
        rotation, position = self._head_pose(head_rotation(joint_rot), translation)
        remaining_rot[:, NECK] = 0
        return PoseTarget(expression, remaining_rot, rotation, position)

    def limited(self, target: PoseTarget, weights: Tensor) -> PoseTarget:
        """The frames to show: `target` of the motion's `weights` [T,E], soft-clamped, with lips that touch."""
        if self.options.soft_clamp:
            target = self.trained_range.clamp(target)
        if self.lip_contact is None:
            return target
        return replace(target, expression=self.lip_contact(weights, target.expression))

    def _to_device(self, *values: Tensor) -> Iterator[Tensor]:
        """Tensors of a motion on the avatar's device: files and sockets provide CPU tensors."""
        return (value.to(self.source_neutral) for value in values)

    @cached_property
    def _modes(self) -> Tensor:
        """[E] bool, which expressions are principal components: these have a sign and no maximum of 1."""
        modes = [is_mode(name) for name in self.avatar.head.expression_names]
        return torch.tensor(modes, device=self.source_neutral.device)

    @cached_property
    def _neutral_difference(self) -> tuple[Tensor, Tensor]:
        """[E] avatar neutral minus source neutral, and [E] range of the source from its neutral up to weight 1."""
        return self.avatar_neutral - self.source_neutral, (1 - self.source_neutral).clamp_min(1e-3)

    @cached_property
    def _mean_rotation_change(self) -> Tensor:
        """[3,3], from the recording's mean pose to the avatar's; multiplied to the recorded rotation from the right."""
        return self.mean_rotation.T @ self.avatar.rig.torso.mean_rotation

    def _replace_neutral(self, weights: Tensor) -> Tensor:
        """Weights [T,E] with the source's neutral expression replaced by the avatar's.

        The difference is added in full at and below the neutral weight and fades linearly to zero at weight 1, so that
        full expressions stay full.
        """
        if self.options.neutral == "as-is":
            return weights
        difference, span = self._neutral_difference
        fade = ((1 - weights) / span).clamp(0, 1).masked_fill(self._modes, 1.0)
        return (weights + difference * fade).clamp(*self.avatar.head.expression_limits)

    def _head_pose(self, rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Head pose of the avatar: rotation [T,3,3], and position [T,3] of the pivot.

        The pivot is the neck joint, which moves least when people nod and turn.

        Args:
            rotation: [T,3,3] recorded.
            translation: [T,3] meters, recorded.
        """
        torso = self.avatar.rig.torso
        mode = self.options.head
        position = self.trained_range.mean_position.expand(len(rotation), 3)
        if mode == "still":
            return torso.mean_rotation.expand(len(rotation), 3, 3), position
        if mode == "relative":
            rotation = rotation @ self._mean_rotation_change
        if self.mean_position is None:
            return rotation, position
        return rotation, position + self.options.travel * (translation - self.mean_position)


@dataclass(frozen=True)
class DriveResult:
    """A motion retargeted to an avatar."""

    params: HeadParams  # T frames
    time: np.ndarray  # [T] float64 seconds
    report: DriveReport


def with_faces(motion: Motion) -> tuple[Motion, Tensor]:
    """The motion with frames without a face interpolated from their neighbors, and the mask [T] of those with one.

    Raises:
        HeadsplatError: it has no frames or no face.
    """
    if not len(motion):
        raise HeadsplatError("the motion has no frames; give another file")
    has_face = torch.ones(len(motion), dtype=torch.bool) if motion.confidence is None else motion.confidence > 0
    if not has_face.any():
        raise HeadsplatError("the motion shows no face in any frame (confidence 0 throughout); give another recording")
    return interpolate_lost_frames(motion), has_face


def drive(avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> DriveResult:
    """Retarget `motion` to `avatar` by the driver of `Driver.for_motion`.

    Frames without a face are interpolated from their neighbors.

    Args:
        avatar: the avatar to drive.
        motion: T frames.
        options: None for the defaults.

    Raises:
        HeadsplatError: the motion has no frames or no face, or none of its expressions is of `options.motion_head`.
    """
    full, has_face = with_faces(motion)
    driver = Driver.for_motion(avatar, full[has_face], options)
    target = driver.target(full.weights, full.joint_rot, full.translation)
    trained_range = driver.trained_range
    unclamped = trained_range.head_params(target)
    params = trained_range.head_params(driver.limited(target, full.weights))
    report = DriveReport.of(driver.retargeter, trained_range, full, unclamped, params)
    return DriveResult(params, motion.time.numpy(), report)
