"""From a pose source to avatar parameters, live: smoothing, neutral calibration, retargeting and lost faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from avatar.common.latency import LatencyMeter
from avatar.driving.driver import DriveOptions, Driver
from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.driving.live.calibrated_driver import CalibratedDriver, check_gains, resting_face
from avatar.driving.live.calibration import CalibrationOptions, Calibrator
from avatar.driving.live.pose_source import CameraPoseSource, PoseSource, VoicePoseSource
from avatar.driving.live.presence import Presence, PresenceOptions
from avatar.driving.live.region_hold import RegionHold
from avatar.driving.live.rest_removal import RestFollower
from avatar.driving.live.samples import AvatarPose, CameraPreview, LiveStats, OwnFace, Sample
from avatar.driving.live.smoothing import SampleFilter, SmoothingOptions
from avatar.driving.live.torso_blend import TorsoBlend
from avatar.model.avatar import Avatar
from avatar.motion.edit import GROUPS
from avatar.types import JAW, JOINT_NAMES, HeadParams

#: arrival: samples are timed by their arrival; source: by the file's clock, for files read faster than they play.
Clock = Literal["arrival", "source"]
Phase = Literal["waiting", "calibrating", "driving", "lost"]
_REPORTED_FRAMES = 300  # frames whose latencies `stats` reports
_PARTS = ("weights", "joint_rot", "translation")


@dataclass(frozen=True)
class LiveOptions:
    """How an avatar is driven live."""

    drive: DriveOptions = field(default_factory=DriveOptions)
    smoothing: SmoothingOptions | None = field(default_factory=SmoothingOptions)
    """None: no smoothing"""
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)
    presence: PresenceOptions = field(default_factory=PresenceOptions)
    gains: Mapping[str, float] = field(default_factory=dict)
    """by group of avatar.motion.edit.GROUPS, initial values of `LivePipeline.gains`; 1 for the other groups"""
    clock: Clock = "arrival"

    def __post_init__(self) -> None:
        check_gains(self.gains)


class LivePipeline:
    """Drives one avatar from one pose source; `latest` does its few milliseconds of work in the caller's thread."""

    def __init__(
        self,
        avatar: Avatar,
        source: PoseSource,
        options: LiveOptions | None = None,
        listener: Callable[[Sample], object] | None = None,
    ) -> None:
        """
        Args:
            avatar: the avatar.
            source: the pose source that drives it.
            options: how it is driven.
            listener: receives each sample as it drives the avatar, smoothed, and those without a face; of a camera with
                the performer's resting face and pose as zero (`RestFollower`).
        """
        self.avatar = avatar
        self.source = source
        self.options = options or LiveOptions()
        self._listener = listener
        self.meter = LatencyMeter()
        #: factor of the performer's expression strength by group; applies from the next sample on
        self.gains: dict[str, float] = dict.fromkeys(GROUPS, 1.0) | dict(self.options.gains)
        with torch.no_grad():
            self.resting_face = resting_face(avatar)  # [E], the avatar's expression for a calibrated driver at rest
        self._presence = Presence(resting_params(avatar, self.resting_face), self.options.presence)
        self._torso = TorsoBlend()
        self._reset()

    def start(self) -> None:
        """Start the source; raises HeadsplatError where it cannot start."""
        self._reset()
        self._presence.reset()
        self.meter.reset()
        self.source.start()

    def stop(self) -> None:
        """Stop the source; has no effect when it was not started."""
        self.source.stop()

    def calibrate(self) -> None:
        """Take the performer's next resting face as the neutral; of a voice the neutral is known and stays."""
        if self._calibrator is not None and not isinstance(self.source, VoicePoseSource):
            self._calibrator.restart()

    def learn_again(self) -> None:
        """Discard identity and neutral: another person is in front of the camera."""
        if isinstance(self.source, CameraPoseSource):
            self.source.learn_again()
        self._presence.mark_lost(self._now())
        self._reset()

    def preview(self) -> CameraPreview | None:
        """The camera frame that was tracked last; None for a source without a camera."""
        return self.source.preview() if isinstance(self.source, CameraPoseSource) else None

    @property
    def driver(self) -> CalibratedDriver | None:
        """The driver with the neutral known so far; None before the first sample with a face."""
        return None if self._calibrator is None else self._calibrator.driver

    def latest(self) -> AvatarPose:
        """The avatar's pose now; uses the newest sample where there is one. Never waits."""
        sample = self.source.latest()
        fresh = sample is not None and self._use(sample)
        now = self._now()
        params = self._presence.params_at(now)
        torso = self._torso.at(now)
        if fresh:
            self._stamps["parameters"] = time.monotonic()
            self.meter.add(self._stamps)
        return AvatarPose(params, self._phase(), fresh, self._sample, self._stamps, torso)

    def stats(self) -> LiveStats:
        """Counters of the source, phase, calibration, gains and latencies, in JSON's types."""
        return {
            "input": self.source.stats(),
            "phase": self._phase(),
            "calibrated": 0.0 if self._calibrator is None else self._calibrator.progress,
            "calibration": {} if self._calibrator is None else self._calibrator.stats(),
            "gains": dict(self.gains),
            "not_finite": self._not_finite,
            "latency": self.meter.report(_REPORTED_FRAMES).to_json(),
        }

    def _reset(self) -> None:
        """Discard everything known of a driver."""
        self._calibrator: Calibrator[CalibratedDriver] | None = None
        #: the driver before the last calibration and the time (seconds) at which blending away from it began
        self._previous: tuple[CalibratedDriver, float] | None = None
        self._filter: SampleFilter | None = None
        self._own_filter = SampleFilter(self.avatar.head.expression_names, self.options.smoothing or SmoothingOptions())
        self._hidden: RegionHold | None = None
        self._own_hidden = RegionHold(self.avatar.head.expression_names)
        self._remove_rest = RestFollower(self.options.calibration.closed)
        self._torso.reset()
        self._sample: Sample | None = None
        self._stamps: dict[str, float] = {}
        self._space: tuple[object, ...] = ()
        self._clock = self._arrived = time.monotonic()
        self._not_finite = 0  # samples

    def _now(self) -> float:
        """Seconds of the clock in use: the newest sample's time plus the time since, for the arrival clock."""
        if self.options.clock == "source":
            return self._clock
        return self._clock + time.monotonic() - self._arrived

    def _use(self, sample: Sample) -> bool:
        """Process a sample; returns whether it drives the avatar."""
        if not all(np.isfinite(part).all() for part in (sample.weights, sample.joint_rot, sample.translation)):
            self._not_finite += 1
            return False
        stamps = {**sample.stamps, "picked up": time.monotonic()}
        source = self.options.clock == "source" and sample.source_time is not None
        self._clock = self._time_of(sample) if source else time.monotonic()
        self._arrived = time.monotonic()
        self._prepare_for(sample)
        assert self._filter is not None and self._calibrator is not None and self._hidden is not None
        if sample.confidence <= 0:
            self._presence.mark_lost(self._clock)
            self._torso.update(None, 0.0, self._clock)
            self._filter.reset()
            self._own_filter.reset()  # what hidden regions hold stays: the face may come back with them
            self._sample = sample
            self._pass_on(sample)
            return False
        sample = self._smooth(self._held(sample))
        stamps["smoothed"] = time.monotonic()
        with torch.no_grad():
            self._presence.update(self._retarget(sample), self._clock)
        self._pass_on(sample)
        self._sample = sample
        self._stamps = stamps
        return True

    def _pass_on(self, sample: Sample) -> None:
        """Give the listener a sample."""
        if self._listener is None:
            return
        if self.driver is not None and sample.confidence > 0 and isinstance(self.source, CameraPoseSource):
            sample = self._remove_rest(sample, self.driver.neutral, self._time_of(sample))
        self._listener(sample)

    def _retarget(self, sample: Sample) -> HeadParams:
        """The avatar's parameters for a sample, and its torso into `_torso`.

        After a new calibration both are blended from those of the previous driver.
        """
        assert self._calibrator is not None
        before = self.driver
        driver = self._calibrator.update(sample, self._time_of(sample))
        if before is not None and driver is not before:
            self._previous = before, self._clock
        weights, joint_rot, translation = (torch.from_numpy(getattr(sample, part))[None] for part in _PARTS)
        params = driver(weights, joint_rot, translation, self.gains)
        moved = None if sample.torso is None else torch.from_numpy(sample.torso)[None]
        torso = None if moved is None else driver.torso(moved, self.gains)
        if self._previous is not None:
            previous, since = self._previous
            amount = smoothstep((self._clock - since) / self.options.presence.to_driver)
            params = interpolate_params(previous(weights, joint_rot, translation, self.gains), params, amount)
            if moved is not None and torso is not None:
                torso = torch.lerp(previous.torso(moved, self.gains), torso, amount)
            self._previous = None if amount >= 1 else self._previous
        self._torso.update(torso, sample.torso_confidence, self._clock)
        if sample.own is None:
            return params
        own = self._own_params(driver, sample.own, weights)
        return interpolate_params(params, own, smoothstep(sample.own.amount))

    def _own_params(self, driver: CalibratedDriver, own: OwnFace, weights: Tensor) -> HeadParams:
        """The avatar's parameters where it tracks its own person: only the pose is relative to the performer's rest.

        Args:
            driver: gives the pose.
            own: the avatar's state in the frame.
            weights: [1,E] of the landmarks.
        """
        joint_rot = torch.from_numpy(own.joint_rot)[None]
        params = driver(weights, joint_rot, torch.from_numpy(own.translation)[None], self.gains)
        params.joint_rot[:, JAW:] = joint_rot[:, JAW:]
        return replace(params, expression=torch.from_numpy(own.weights).to(params.expression)[None])

    def _time_of(self, sample: Sample) -> float:
        """The sample's time in seconds of the clock that filters and calibration use."""
        if self.options.clock == "source" and sample.source_time is not None:
            return sample.source_time
        return sample.time

    def _held(self, sample: Sample) -> Sample:
        """The sample whose hidden regions keep their expression."""
        assert self._hidden is not None
        time = self._time_of(sample)
        own = sample.own
        if own is None:
            self._own_hidden.reset()
        else:
            own = self._own_hidden(own, sample.hidden, time)
        return replace(self._hidden(sample, sample.hidden, time), own=own)

    def _smooth(self, sample: Sample) -> Sample:
        assert self._filter is not None
        if self.options.smoothing is None:
            return sample
        time = self._time_of(sample)
        own = sample.own
        if own is None:
            self._own_filter.reset()
        else:
            state = replace(
                sample,
                names=self.avatar.head.expression_names,
                torso=None,
                **{part: getattr(own, part) for part in _PARTS},
            )
            smooth = self._own_filter(state, time)
            own = replace(own, **{part: getattr(smooth, part) for part in _PARTS})
        return replace(self._filter(sample, time), own=own)

    def _prepare_for(self, sample: Sample) -> None:
        """Create what depends on the sample's expression names, and calibrate on earlier samples of the source."""
        space = (sample.names, sample.space)
        if space == self._space:
            return
        self._space = space
        driver = Driver.of(self.avatar, sample.names, sample.space, self.options.drive)
        driver = replace(driver, avatar_neutral=self.resting_face)
        closed = self.options.calibration.closed
        self._calibrator = Calibrator(
            lambda neutral: CalibratedDriver.of(driver, neutral, closed), self.options.calibration
        )
        self._filter = SampleFilter(sample.names, self.options.smoothing or SmoothingOptions())
        self._hidden = RegionHold(sample.names)
        with torch.no_grad():
            for each in self.source.earlier():
                if self._calibrator.progress < 1:
                    self._calibrator.update(self._smooth(each), self._time_of(each))
        self._filter.reset()

    def _phase(self) -> Phase:
        if self._calibrator is None or self._calibrator.driver is None:
            return "waiting"
        if self._presence.is_lost:
            return "lost"
        return "driving" if self._calibrator.progress >= 1 else "calibrating"


def resting_params(avatar: Avatar, expression: Tensor) -> HeadParams:
    """Parameters [1] with expression weights `expression` [E] and the avatar's mean pose."""
    options = DriveOptions(neutral="as-is", head="still", travel=0.0, soft_clamp=False)
    driver = Driver.of(avatar, avatar.head.expression_names, avatar.head.name, options)
    with torch.no_grad():
        return driver(expression[None], torch.zeros(1, len(JOINT_NAMES), 3), torch.zeros(1, 3))
