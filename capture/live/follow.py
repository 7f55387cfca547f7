"""Landmarks of live frames, from a low-pass filtered region of interest.

The network's landmarks depend slightly on the crop: a region that jitters makes landmarks jitter, and the next region
is computed from the landmarks. A low-pass filter on the region breaks that loop.
"""

from __future__ import annotations

import math

import numpy as np

from avatar.driving.live.one_euro import OneEuro
from capture.faces.landmarks import Landmarks, Roi
from capture.options import FaceModels
from capture.stages.landmarks import FaceFollower

#: Hertz, and hertz per unit of speed; the unit is the region's size per second.
_MINCUTOFF, _BETA = 1.0, 8.0


class RegionFilter:
    """A low-pass filter of the region of interest: center, size and angle."""

    def __init__(self) -> None:
        self._filter = OneEuro(_MINCUTOFF, _BETA)
        self._unit, self._angle = 1.0, 0.0

    def reset(self, roi: Roi) -> None:
        """Restart at `roi`."""
        self._filter.reset()
        self._unit, self._angle = max(roi.size, 1.0), roi.angle

    def __call__(self, roi: Roi, time: float) -> Roi:
        """The filtered region at `time` seconds."""
        # Unwrapped: no jump at half a turn.
        self._angle += math.remainder(roi.angle - self._angle, 2 * math.pi)
        raw = np.array([roi.center[0] / self._unit, roi.center[1] / self._unit, roi.size / self._unit, self._angle])
        x, y, size, angle = (float(value) for value in self._filter(raw, time))
        return Roi((x * self._unit, y * self._unit), size * self._unit, angle)


class LiveFollower:
    """Tracks one face's landmarks from frame to frame, with one network pass per frame."""

    def __init__(self, models: FaceModels) -> None:
        self._follower = FaceFollower(models, passes=1, thorough=False)
        self._filter = RegionFilter()
        self._region: np.ndarray | None = None  # [4] region to search in the next frame
        self._last: np.ndarray | None = None  # [4] region of the last face found

    def __call__(self, rgb: np.ndarray, time: float) -> Landmarks | None:
        """Landmarks in a frame [H,W,3] taken at `time` seconds; None without a face."""
        found: Landmarks | None = self._follower.follow(rgb, self._region, self._last)
        if found is None:
            self.reset()
            return None
        roi = Roi.from_landmarks(found.points)
        if self._region is None or self._jumped(roi):
            self._filter.reset(roi)
        roi = self._filter(roi, time)
        self._region = self._last = np.array([*roi.center, roi.size, roi.angle])
        return found

    def reset(self) -> None:
        """Detect the face again in the next frame, first near the last region."""
        self._region = None

    def _jumped(self, roi: Roi) -> bool:
        """Whether the face moved so far (a sixth of its size) that a filtered region would miss it."""
        assert self._region is not None
        distance = math.hypot(roi.center[0] - self._region[0], roi.center[1] - self._region[1])
        return distance > roi.size / 6 or not 0.8 < roi.size / self._region[2] < 1.25
