"""Who drives an avatar: sliders, a motion that is played, or any live input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from avatar.driving.driver import DriveOptions, Driver, drive
from avatar.export.posed import head_turn
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.files.names import ARKIT
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT, HeadParams, Motion
from viewer.session.state import Sliders, State


@dataclass(frozen=True, eq=False)
class Pose:
    """What to draw now."""

    params: HeadParams  # [1] of the avatar
    phase: str = ""  # of a live driver
    fresh: bool = False  # whether something new has come since the pose before
    sample: Any = None  # what came, as the live input gives it
    stamps: Mapping[str, float] = field(default_factory=dict)  # stage -> seconds, time.monotonic()


def same(first: HeadParams, second: HeadParams) -> bool:
    """Whether two frames are equal."""
    return first is second or all(
        torch.equal(getattr(first, part), getattr(second, part)) for part in ("expression", "joint_rot", "translation")
    )


class Performer(Protocol):
    """One who drives an avatar."""

    def start(self) -> None:
        """Begin; raises HeadsplatError where that cannot be."""

    def stop(self) -> None:
        """End; harmless when it never began."""

    def pose(self, state: State) -> Pose:
        """What the avatar does now. Never waits."""

    def stats(self) -> Mapping[str, Any]:
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

    def stats(self) -> Mapping[str, Any]:
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

    def stats(self) -> Mapping[str, Any]:
        """What the chain counts."""
        return self.source.stats()


class Still:
    """A performer that needs neither beginning nor end."""

    def start(self) -> None:
        """Nothing to open."""

    def stop(self) -> None:
        """Nothing to close."""

    def stats(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}


class Puppet(Still):
    """A face set by hand: at rest it is the avatar's own resting face."""

    def __init__(self, avatar: Avatar) -> None:
        self._avatar = avatar
        self._driver = Driver.of(avatar, ARKIT_52, ARKIT, DriveOptions(soft_clamp=False))
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
        looks, eyes = _gaze(sliders.gaze)
        joint_rot = torch.zeros(1, len(JOINT_NAMES), 3)
        joint_rot[0, ROOT] = _axis_angle(sliders.head)
        joint_rot[0, [LEFT_EYE, RIGHT_EYE]] = eyes
        opened, aside = sliders.jaw
        joint_rot[0, JAW] = _axis_angle((aside, opened, 0.0))
        driver, limits = self._driver, self._avatar.head.expression_limits
        target = driver.target((weights + looks).clamp(0, 1), joint_rot, torch.zeros(1, 3))
        extra = [sliders.raw.get(name, 0.0) for name in self._avatar.head.expression_names]
        target = replace(target, expression=(target.expression + target.expression.new_tensor([extra])).clamp(*limits))
        if sliders.soft_clamp:
            target = driver.trained_range.clamp(target)
        elif (lids := driver.trained_range.lid_closure) is not None:
            # Blinks, squints and gaze add up: also beyond the trained range lids do not go through each other.
            target = replace(target, expression=lids(target.expression))
        return driver.trained_range.head_params(target)


class Player(Still):
    """A motion, frame-exact: at each moment the last frame that has come, as `headsplat render` draws it."""

    def __init__(self, avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> None:
        """Raises HeadsplatError where the motion has no frames or no face."""
        told = drive(avatar, motion, options)
        self.motion, self.options = motion, options
        self.params, self.report = told.params, told.report
        self.times: tuple[float, ...] = tuple((told.time - told.time[0]).tolist())  # seconds since the first
        self._frame = -1

    def retold(self, avatar: Avatar) -> Player:
        """The same motion for another avatar."""
        return Player(avatar, self.motion, self.options)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the avatar cannot show of it."""
        return tuple(self.report.to_text().splitlines())

    @property
    def duration(self) -> float:
        """Seconds until the last frame has been shown as long as the others."""
        count = len(self.times)
        return self.times[-1] * count / (count - 1) if count > 1 else 1 / 30

    def pose(self, state: State) -> Pose:
        """The frame that the timeline shows."""
        frame = state.timeline.frame
        fresh, self._frame = frame != self._frame, frame
        return Pose(self.params[frame], fresh=fresh)


@cache
def _looks() -> tuple[list[int], Tensor]:
    """Columns [n] of ARKIT_52 that look somewhere; turns [2,3,n] radians of the left and the right eye at weight 1."""
    head = load_head()
    names = [name for name in ARKIT_52 if name.startswith("eyeLook")]
    turns = head.joint_dirs[[LEFT_EYE, RIGHT_EYE]][..., [head.expression_index(name) for name in names]]
    return [ARKIT_52.index(name) for name in names], turns


def _gaze(degrees: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Both eyes turned to the person's left and up: ARKit weights [52], for lids go with them, and what is left [2,3].

    What is left is in radians, of the left and the right eye beyond what weights of 1 turn.
    """
    left, up = degrees
    # Listing's law: eyes turn straight from one direction to another, about an axis across both.
    wanted = torch.tensor([-up, left, 0.0]).deg2rad().expand(2, 3)
    columns, turns = _looks()
    # Each of them turns one eye about one axis.
    weights = ((wanted[..., None] * turns).sum((0, 1)) / turns.square().sum((0, 1))).clamp(0, 1)
    looks = torch.zeros(len(ARKIT_52))
    looks[columns] = weights
    return looks, wanted - turns @ weights


def _axis_angle(degrees: tuple[float, float, float]) -> Tensor:
    """[3] radians, of yaw to the person's left, pitch down and roll to the right shoulder."""
    return matrix_to_axis_angle(head_turn(degrees)[None])[0]
