"""The samples of a live source for a receiver without an avatar."""

from __future__ import annotations

import numpy as np
import torch

from avatar.driving.live.calibrated_driver import Neutral
from avatar.driving.live.calibration import CalibrationOptions, Calibrator
from avatar.driving.live.pose_source import CameraPoseSource, PoseSource
from avatar.driving.live.region_hold import RegionHold
from avatar.driving.live.rest_removal import RestFollower
from avatar.driving.live.samples import Sample
from avatar.driving.live.smoothing import SampleFilter, SmoothingOptions


class SampleStream:
    """Holds hidden regions, smooths, and removes the resting face of a person before a camera, as a `LivePipeline`."""

    def __init__(self, source: PoseSource, *, resting: bool = True) -> None:
        """Args: a source, started by the caller; resting: whether a camera's weights are 0 at the resting face."""
        self._source = source
        self._resting = resting and isinstance(source, CameraPoseSource)
        self._options = CalibrationOptions()
        self._calibrator: Calibrator[Neutral] = Calibrator(lambda neutral: neutral, self._options)
        self._remove_rest = RestFollower(self._options.closed)
        self._names: tuple[str, ...] = ()
        self._filter: SampleFilter | None = None
        self._hold: RegionHold | None = None

    @property
    def note(self) -> str:
        """What the person before the camera should do for the resting face; empty where there is nothing to do."""
        if not (self._resting and self._names):
            return ""
        if self._calibrator.progress < 1:
            return "look ahead with a resting face"
        still = self._calibrator.stats()["still"]
        return "" if still else "the face was never at rest: start again, and look ahead with a resting face"

    def latest(self) -> Sample | None:
        """The newest sample, once. Never waits."""
        sample = self._source.latest()
        if sample is None or not all(
            np.isfinite(part).all() for part in (sample.weights, sample.joint_rot, sample.translation)
        ):
            return None
        if sample.names != self._names:
            self._prepare_for(sample)
        assert self._filter is not None and self._hold is not None
        if sample.confidence <= 0:
            self._filter.reset()
            return sample
        return self._at_rest(self._filter(self._hold(sample, sample.hidden, sample.time), sample.time))

    def _prepare_for(self, sample: Sample) -> None:
        """Make what depends on the expression names, and calibrate on earlier samples of the source."""
        self._names = sample.names
        self._filter = SampleFilter(sample.names, SmoothingOptions())
        self._hold = RegionHold(sample.names)
        if self._resting:
            for each in self._source.earlier():
                if self._calibrator.progress < 1:
                    self._at_rest(self._filter(each, each.time))
            self._filter.reset()

    def _at_rest(self, sample: Sample) -> Sample:
        with torch.no_grad():
            if not self._resting:
                return sample
            return self._remove_rest(sample, self._calibrator.update(sample, sample.time), sample.time)
