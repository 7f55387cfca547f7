"""Who drives an avatar: sliders, a motion that is played, or any live input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from avatar.arkit import ARKIT_52
from avatar.drive import DriveOptions, Driver, drive
from avatar.export.pose import head_turn
from avatar.geometry import matrix_to_axis_angle
from avatar.model import Avatar
from avatar.motion.files.names import ARKIT
from avatar.records import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT, HeadParams, Motion
from viewer.state import Sliders, State


@dataclass(frozen=True, eq=False)
class Pose:
    """What to draw now."""

    params: HeadParams  # [1] of the avatar
    phase: str = ""  # of a live driver
    fresh: bool = False  # whether something new has come since the pose before
    sample: Any = None  # what came, as the live input gives it
    stamps: Mapping[str, float] = field(default_factory=dict)  # stage -> seconds, time.monotonic()


class Performer(Protocol):
    """One who drives an avatar."""

    def start(self) -> None:
        """Begin; raises HeadsplatError where that cannot be."""

    def stop(self) -> None:
        """End; harmless when it never began."""

    def pose(self, state: State) -> Pose:
        """What the avatar does now. Never waits."""

    def facts(self) -> Mapping[str, Any]:
        """What may be shown of it."""


class LiveSource(Protocol):
    """What a live input with its filters, calibration and retargeting offers."""

    def start(self) -> None:
        """Begin; raises HeadsplatError where that cannot be."""

    def stop(self) -> None:
        """End."""

    def latest(self) -> Any:
        """The avatar's pose now, with the fields of `Pose`."""

    gains: dict[str, float]  # by group: how much stronger than the driver the avatar does it

    def calibrate(self) -> None:
        """Take the next second or two as the driver's neutral face."""

    def learn_again(self) -> None:
        """Forget who it is: another person sat down."""

    def look(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The camera's picture [H,W,3] uint8 used last and the landmarks [n,3] pixels found in it; None without one."""

    def facts(self) -> Mapping[str, Any]:
        """Counts, phase, progress of the calibration."""


class LivePerformer:
    """A camera or a socket."""

    def __init__(self, source: LiveSource) -> None:
        self.source = source

    def start(self) -> None:
        """Open it."""
        self.source.start()

    def stop(self) -> None:
        """Close it."""
        self.source.stop()

    def pose(self, state: State) -> Pose:
        """The newest."""
        found = self.source.latest()
        return Pose(found.params, found.phase, found.fresh, found.sample, found.stamps)

    def facts(self) -> Mapping[str, Any]:
        """What the chain counts."""
        return self.source.facts()


class Still:
    """A performer that needs neither beginning nor end."""

    def start(self) -> None:
        """Nothing to open."""

    def stop(self) -> None:
        """Nothing to close."""

    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}


class Puppet(Still):
    """A face set by hand: at rest it is the avatar's own resting face."""

    def __init__(self, avatar: Avatar) -> None:
        self._avatar = avatar
        self._driver = Driver.of(avatar, ARKIT_52, ARKIT, DriveOptions(ease=False))
        self._shown: tuple[Sliders, Pose] | None = None

    def pose(self, state: State) -> Pose:
        """Where the sliders stand."""
        if self._shown is not None and self._shown[0] == state.sliders:
            return replace(self._shown[1], fresh=False)
        pose = Pose(self.params(state.sliders), fresh=True)
        self._shown = state.sliders, pose
        return pose

    @torch.no_grad()
    def params(self, sliders: Sliders) -> HeadParams:
        """Parameters [1] of the avatar for `sliders`."""
        weights = torch.tensor([[sliders.weights.get(name, 0.0) for name in ARKIT_52]])
        joint_rot = torch.zeros(1, len(JOINT_NAMES), 3)
        joint_rot[0, ROOT] = _axis_angle(sliders.head)
        left, up = sliders.gaze
        joint_rot[0, LEFT_EYE] = joint_rot[0, RIGHT_EYE] = _axis_angle((left, -up, 0.0))
        opened, aside = sliders.jaw
        joint_rot[0, JAW] = _axis_angle((aside, opened, 0.0))
        driver = self._driver
        wish = driver.wish(weights, joint_rot, torch.zeros(1, 3))
        if sliders.raw:
            names = self._avatar.head.expression_names
            extra = torch.tensor([[sliders.raw.get(name, 0.0) for name in names]]).to(wish.expression)
            limits = self._avatar.head.expression_limits
            wish = replace(wish, expression=(wish.expression + extra).clamp(*limits))
        return driver.reach.params(driver.reach.within(wish) if sliders.eased else wish)


class Player(Still):
    """A motion, frame-exact: at each moment the last frame that has come, as `headsplat render` draws it."""

    def __init__(self, avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> None:
        """Raises HeadsplatError where the motion has no frames or no face."""
        told = drive(avatar, motion, options)
        self.motion, self.options = motion, options
        self.params, self.report = told.params, told.report
        self.times: np.ndarray = told.time - told.time[0]  # [T] seconds
        self._frame = -1

    def retold(self, avatar: Avatar) -> Player:
        """The same motion for another avatar."""
        return Player(avatar, self.motion, self.options)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the avatar cannot show of it."""
        return tuple(self.report.to_words().splitlines())

    @property
    def duration(self) -> float:
        """Seconds until the last frame has been shown as long as the others."""
        count = len(self.times)
        return float(self.times[-1]) * count / (count - 1) if count > 1 else 1 / 30

    @property
    def rate(self) -> float:
        """Mean frames a second."""
        return len(self.times) / self.duration

    def frame(self, time: float) -> int:
        """The frame that is shown `time` seconds after the first."""
        # A millionth: a time that was computed from a frame's number finds that frame.
        return max(0, int(np.searchsorted(self.times, time + 1e-6, side="right")) - 1)

    def pose(self, state: State) -> Pose:
        """The frame at the timeline's time."""
        frame = self.frame(state.timeline.time)
        fresh, self._frame = frame != self._frame, frame
        return Pose(self.params[frame], fresh=fresh)


def _axis_angle(degrees: tuple[float, float, float]) -> Tensor:
    """[3] radians, of yaw to the person's left, pitch down and roll to the right shoulder."""
    return matrix_to_axis_angle(head_turn(degrees)[None])[0]
