"""From any input to the parameters of an avatar, live: smoothing, neutral calibration, retargeting, and losses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from avatar.common.latency import LatencyMeter
from avatar.driving.driver import DriveOptions, Driver
from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.model.avatar import Avatar
from avatar.motion.edit import GROUPS
from avatar.types import JOINT_NAMES, HeadParams
from capture.live.calibration import CalibrationOptions, Calibrator
from capture.live.presence import Presence, PresenceOptions
from capture.live.retarget import Retarget, check_gains, resting_face
from capture.live.sample import CameraInput, Input, Sample
from capture.live.smoothing import SampleFilter, SmoothingOptions

#: arrival: samples are timed by when they came; source: by the file's own clock, for files read faster than they play.
Clock = Literal["arrival", "source"]
Phase = Literal["waiting", "calibrating", "driving", "lost"]
_TOLD = 300  # frames whose latencies `facts` tells
_PARTS = ("weights", "joint_rot", "translation")


@dataclass(frozen=True)
class LiveOptions:
    """How an avatar is driven live."""

    drive: DriveOptions = field(default_factory=DriveOptions)
    smoothing: SmoothingOptions | None = field(default_factory=SmoothingOptions)
    """None: samples as they come"""
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)
    presence: PresenceOptions = field(default_factory=PresenceOptions)
    gains: Mapping[str, float] = field(default_factory=dict)
    """by group of avatar.motion.edit.GROUPS, what `LivePipeline.gains` begins with; 1 for the others"""
    clock: Clock = "arrival"

    def __post_init__(self) -> None:
        check_gains(self.gains)


@dataclass(frozen=True, eq=False)
class LivePose:
    """What to draw now."""

    params: HeadParams  # [1] of the avatar
    phase: Phase
    fresh: bool  # whether a new sample that saw the face is in it
    sample: Sample | None  # the newest, smoothed; of confidence 0 where the face is lost
    stamps: dict[str, float]  # stage -> seconds, time.monotonic(), of the newest that saw it; add "drawn" and "shown"


class LivePipeline:
    """One avatar and one input; `latest` does its few milliseconds of work in the caller's thread."""

    def __init__(self, avatar: Avatar, source: Input, options: LiveOptions | None = None) -> None:
        """Args: whom to drive; what drives; how."""
        self.avatar, self.source, self.options = avatar, source, options or LiveOptions()
        self.meter = LatencyMeter()
        #: how much stronger than the driver the avatar does each group; the next sample obeys
        self.gains: dict[str, float] = dict.fromkeys(GROUPS, 1.0) | dict(self.options.gains)
        with torch.no_grad():
            self.resting_face = resting_face(avatar)  # [E], what a calibrated driver at rest gives
        self._presence = Presence(resting_params(avatar, self.resting_face), self.options.presence)
        self._forget()

    def start(self) -> None:
        """Begin; raises HeadsplatError where the input cannot."""
        self._forget()
        self._presence.reset()
        self.meter.reset()
        self.source.start()

    def stop(self) -> None:
        """End; harmless when it never began."""
        self.source.stop()

    def calibrate(self) -> None:
        """Take the driver's next resting moment as their neutral face."""
        if self._calibrator is not None:
            self._calibrator.again()

    def learn_again(self) -> None:
        """Another person sat down: whose face and which neutral it is has to be found out anew."""
        if isinstance(self.source, CameraInput):
            self.source.learn_again()
        self._presence.missed(self._now())
        self._forget()

    def look(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The camera's picture [H,W,3] uint8 used last and the landmarks [478,3] in it, pixels; None without one."""
        return self.source.look() if isinstance(self.source, CameraInput) else None

    @property
    def retarget(self) -> Retarget | None:
        """The calibrated driver, once anything is known."""
        return None if self._calibrator is None else self._calibrator.retarget

    def latest(self) -> LivePose:
        """What the avatar does now; takes the newest sample when there is one. Never waits."""
        sample = self.source.latest()
        fresh = sample is not None and self._take(sample)
        shown = self._presence.shown(self._now())
        if fresh:
            self._stamps["parameters"] = time.monotonic()
            self.meter.add(self._stamps)
        return LivePose(shown, self._phase(), fresh, self._sample, self._stamps)

    def stats(self) -> dict[str, Any]:
        """What the input counts, the phase, the calibration, gains and latencies, in JSON's types."""
        return {
            "input": self.source.stats(),
            "phase": self._phase(),
            "calibrated": 0.0 if self._calibrator is None else self._calibrator.progress,
            "calibration": {} if self._calibrator is None else self._calibrator.stats(),
            "gains": dict(self.gains),
            "not_finite": self._broken,
            "latency": self.meter.report(_TOLD).to_json(),
        }

    def _forget(self) -> None:
        """Know nothing of any driver."""
        self._calibrator: Calibrator | None = None
        self._former: tuple[Retarget, float] | None = None  # what served before, until when (seconds) it did alone
        self._filter: SampleFilter | None = None
        self._sample: Sample | None = None
        self._stamps: dict[str, float] = {}
        self._space: tuple[object, ...] = ()
        self._clock = self._arrived = time.monotonic()
        self._broken = 0  # samples that were not finite

    def _now(self) -> float:
        """Seconds of the input's clock: that of the newest sample and what has passed since it was taken."""
        if self.options.clock == "source":
            return self._clock
        return self._clock + time.monotonic() - self._arrived

    def _take(self, sample: Sample) -> bool:
        """Use a sample; returns whether the avatar is driven by it."""
        if not all(np.isfinite(part).all() for part in (sample.weights, sample.joint_rot, sample.translation)):
            self._broken += 1
            return False
        stamps = {**sample.stamps, "picked up": time.monotonic()}
        source = self.options.clock == "source" and sample.source_time is not None
        self._clock = self._time_of(sample) if source else time.monotonic()
        self._arrived = time.monotonic()
        self._ready_for(sample)
        assert self._filter is not None and self._calibrator is not None
        if sample.confidence <= 0:
            self._presence.missed(self._clock)
            self._filter.reset()
            self._sample = sample
            return False
        sample = self._smooth(sample)
        stamps["smoothed"] = time.monotonic()
        with torch.no_grad():
            self._presence.seen(self._retold(sample), self._clock)
        self._sample, self._stamps = sample, stamps
        return True

    def _retold(self, sample: Sample) -> HeadParams:
        """The avatar's parameters; when the neutral has changed they come over from those of the one before."""
        assert self._calibrator is not None
        before, retarget = self.retarget, self._calibrator.see(sample, self._time_of(sample))
        if before is not None and retarget is not before:
            self._former = before, self._clock
        weights, joint_rot, place = (torch.from_numpy(getattr(sample, part))[None] for part in _PARTS)
        params = retarget(weights, joint_rot, place, self.gains)
        if self._former is not None:
            former, since = self._former
            share = smoothstep((self._clock - since) / self.options.presence.back)
            params = interpolate_params(former(weights, joint_rot, place, self.gains), params, share)
            self._former = None if share >= 1 else self._former
        return params

    def _time_of(self, sample: Sample) -> float:
        """Seconds of the clock that filters and the calibration go by."""
        if self.options.clock == "source" and sample.source_time is not None:
            return sample.source_time
        return sample.time

    def _smooth(self, sample: Sample) -> Sample:
        assert self._filter is not None
        return sample if self.options.smoothing is None else self._filter(sample, self._time_of(sample))

    def _ready_for(self, sample: Sample) -> None:
        """Make what depends on the names of the samples' weights, and look at what the face did before."""
        space = (sample.names, sample.space)
        if space == self._space:
            return
        self._space = space
        driver = Driver.of(self.avatar, sample.names, sample.space, self.options.drive)
        driver = replace(driver, avatar_neutral=self.resting_face)
        self._calibrator = Calibrator(driver, self.options.calibration)
        self._filter = SampleFilter(sample.names, self.options.smoothing or SmoothingOptions())
        with torch.no_grad():
            for each in self.source.earlier():
                if self._calibrator.progress < 1:
                    self._calibrator.see(self._smooth(each), self._time_of(each))
        self._filter.reset()

    def _phase(self) -> Phase:
        if self._calibrator is None or self._calibrator.retarget is None:
            return "waiting"
        if self._presence.lost:
            return "lost"
        return "driving" if self._calibrator.progress >= 1 else "calibrating"


def resting_params(avatar: Avatar, expression: Tensor) -> HeadParams:
    """The face with weights `expression` [E] in the middle of the avatar's poses, [1]."""
    options = DriveOptions(neutral="as-is", head="still", travel=0.0, soft_clamp=False)
    driver = Driver.of(avatar, avatar.head.expression_names, avatar.head.name, options)
    with torch.no_grad():
        return driver(expression[None], torch.zeros(1, len(JOINT_NAMES), 3), torch.zeros(1, 3))
