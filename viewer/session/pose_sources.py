"""Pose sources of an avatar: sliders, a motion, or a live source with its pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from avatar.driving.driver import DriveOptions, Driver, drive
from avatar.driving.live.samples import AvatarPose, CameraPreview, LiveStats
from avatar.export.posed import head_turn
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.files.names import ARKIT
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT, HeadParams, Motion
from viewer.session.state import Sliders, State


class AvatarPoseSource(Protocol):
    """Produces poses of an avatar."""

    def start(self) -> None:
        """Start; raises HeadsplatError on failure."""

    def stop(self) -> None:
        """Stop; has no effect when it was not started."""

    def pose(self, state: State) -> AvatarPose:
        """The avatar's pose now. Never waits."""

    def stats(self) -> LiveStats:
        """State for display; empty for a source that is not live."""


class LivePipeline(Protocol):
    """A live source with filters, calibration and retargeting, as `capture.live.LivePipeline`."""

    gains: dict[str, float]  # by group: factor of the performer's expression strength

    def start(self) -> None:
        """Start; raises HeadsplatError on failure."""

    def stop(self) -> None:
        """Stop."""

    def latest(self) -> AvatarPose:
        """The avatar's pose now."""

    def calibrate(self) -> None:
        """Take the performer's next resting face as the neutral."""

    def learn_again(self) -> None:
        """Discard the identity: another person is in front of the camera."""

    def preview(self) -> CameraPreview | None:
        """The camera frame that was tracked last; None for a source without a camera."""

    def stats(self) -> LiveStats:
        """Counters, phase, progress of the calibration."""


@dataclass(frozen=True)
class LiveSourceChoice:
    """A live source that can be selected."""

    key: str
    label: str
    make: Callable[[Avatar], LivePipeline]


class LivePoseSource:
    """A camera or a socket, with its pipeline."""

    def __init__(self, pipeline: LivePipeline) -> None:
        self.pipeline = pipeline

    def start(self) -> None:
        """Open the camera or socket."""
        self.pipeline.start()

    def stop(self) -> None:
        """Close it."""
        self.pipeline.stop()

    def pose(self, state: State) -> AvatarPose:
        """The pose of the newest sample."""
        return self.pipeline.latest()

    def stats(self) -> LiveStats:
        """State of the pipeline."""
        return self.pipeline.stats()


class _OfflineSource:
    """A source without a device."""

    def start(self) -> None:
        """Nothing to open."""

    def stop(self) -> None:
        """Nothing to close."""

    def stats(self) -> LiveStats:
        """Empty."""
        return {}


class SliderPoseSource(_OfflineSource):
    """A face posed by hand; at zero it is the avatar's resting face and pose."""

    def __init__(self, avatar: Avatar) -> None:
        self._avatar = avatar
        self._driver = Driver.of(avatar, ARKIT_52, ARKIT, DriveOptions(soft_clamp=False))
        self._last: tuple[Sliders, AvatarPose] | None = None

    def pose(self, state: State) -> AvatarPose:
        """The pose of the state's sliders."""
        if self._last is not None and self._last[0] == state.sliders:
            return replace(self._last[1], fresh=False)
        pose = AvatarPose(self.params(state.sliders), fresh=True)
        self._last = state.sliders, pose
        return pose

    @torch.no_grad()
    def params(self, sliders: Sliders) -> HeadParams:
        """Parameters [1] of the avatar for `sliders`."""
        weights = torch.tensor([[sliders.weights.get(name, 0.0) for name in ARKIT_52]])
        gaze_weights, eye_rotations = _gaze(sliders.gaze)
        joint_rot = torch.zeros(1, len(JOINT_NAMES), 3)
        joint_rot[0, ROOT] = _axis_angle(sliders.head)
        joint_rot[0, [LEFT_EYE, RIGHT_EYE]] = eye_rotations
        jaw_open, jaw_left = sliders.jaw
        joint_rot[0, JAW] = _axis_angle((jaw_left, jaw_open, 0.0))
        driver = self._driver
        limits = self._avatar.head.expression_limits
        target = driver.target((weights + gaze_weights).clamp(0, 1), joint_rot, torch.zeros(1, 3))
        extra = [sliders.model_weights.get(name, 0.0) for name in self._avatar.head.expression_names]
        expression = (target.expression + target.expression.new_tensor([extra])).clamp(*limits)
        target = replace(target, expression=expression)
        if sliders.soft_clamp:
            target = driver.trained_range.clamp(target)
        elif (lids := driver.trained_range.lid_closure) is not None:
            # Blinks, squints and gaze add up: lids must not intersect beyond the trained range either.
            target = replace(target, expression=lids(target.expression))
        return driver.trained_range.head_params(target)


class MotionPoseSource(_OfflineSource):
    """A motion; at any time the same frame and parameters as `headsplat render` uses."""

    def __init__(self, avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> None:
        """Raises HeadsplatError where the motion has no frames or no face."""
        driven = drive(avatar, motion, options)
        self.motion = motion
        self.options = options
        self.params = driven.params
        self.report = driven.report
        self.times: tuple[float, ...] = tuple((driven.time - driven.time[0]).tolist())  # seconds since the first
        self._frame = -1

    def for_avatar(self, avatar: Avatar) -> MotionPoseSource:
        """The same motion retargeted to another avatar."""
        return MotionPoseSource(avatar, self.motion, self.options)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the avatar cannot show of it."""
        return tuple(self.report.to_text().splitlines())

    @property
    def duration(self) -> float:
        """Seconds, the last frame's display included, which takes the mean of the others."""
        count = len(self.times)
        return self.times[-1] * count / (count - 1) if count > 1 else 1 / 30

    def pose(self, state: State) -> AvatarPose:
        """The frame at the timeline's time."""
        frame = state.timeline.frame
        fresh = frame != self._frame
        self._frame = frame
        return AvatarPose(self.params[frame], fresh=fresh)


@cache
def _gaze_expressions() -> tuple[list[int], Tensor]:
    """Columns [n] of the gaze expressions in ARKIT_52; rotations [2,3,n] radians of left and right eye at weight 1."""
    head = load_head()
    names = [name for name in ARKIT_52 if name.startswith("eyeLook")]
    rotations = head.joint_dirs[[LEFT_EYE, RIGHT_EYE]][..., [head.expression_index(name) for name in names]]
    return [ARKIT_52.index(name) for name in names], rotations


def _gaze(degrees: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """A gaze to the person's left and up as ARKit weights [52] and remaining rotations [2,3] radians of both eyes.

    As weights, because lids follow these; the rotations are what exceeds weights of 1, of left and right eye.
    """
    left, up = degrees
    # Listing's law: eyes rotate directly from one direction to another, about an axis perpendicular to both.
    requested = torch.tensor([-up, left, 0.0]).deg2rad().expand(2, 3)
    columns, rotations = _gaze_expressions()
    # Each expression rotates one eye about one axis.
    amounts = ((requested[..., None] * rotations).sum((0, 1)) / rotations.square().sum((0, 1))).clamp(0, 1)
    weights = torch.zeros(len(ARKIT_52))
    weights[columns] = amounts
    return weights, requested - rotations @ amounts


def gaze_weights(degrees: tuple[float, float]) -> tuple[dict[str, float], float]:
    """A gaze to the person's left and up as ARKit weights by name, and the degrees that exceed weights of 1."""
    weights, rest = _gaze(degrees)
    found = {name: round(weight, 4) for name, weight in zip(ARKIT_52, weights.tolist(), strict=True) if weight}
    return found, float(rest.norm(dim=1).max().rad2deg())


def _axis_angle(degrees: tuple[float, float, float]) -> Tensor:
    """[3] radians, of yaw to the person's left, pitch down and roll to the right shoulder."""
    return matrix_to_axis_angle(head_turn(degrees)[None])[0]
