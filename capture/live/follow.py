"""The landmarks of live frames, from a region of interest that moves smoothly.

The network's answer depends a little on where exactly it is asked to look: a region that jitters makes landmarks
jitter, and the other way round. A low pass on the region breaks that loop.
"""

from __future__ import annotations

import math

import numpy as np

from capture.faces.landmarks import Landmarks, Roi
from capture.live.one_euro import OneEuro
from capture.options import FaceModels
from capture.stages.landmarks import FaceFollower

#: Hertz, and hertz for a region that moves by its own size in a second.
_MINCUTOFF, _BETA = 1.0, 8.0


class RegionFilter:
    """A low pass on the region of interest: its center, its size and its turn."""

    def __init__(self) -> None:
        self._filter = OneEuro(_MINCUTOFF, _BETA)
        self._unit, self._angle = 1.0, 0.0

    def reset(self, roi: Roi) -> None:
        """Begin with `roi`."""
        self._filter.reset()
        self._unit, self._angle = max(roi.size, 1.0), roi.angle

    def __call__(self, roi: Roi, time: float) -> Roi:
        """The smoothed region at `time` seconds."""
        # The angle goes on without a jump at half a turn.
        self._angle += math.remainder(roi.angle - self._angle, 2 * math.pi)
        raw = np.array([roi.center[0] / self._unit, roi.center[1] / self._unit, roi.size / self._unit, self._angle])
        x, y, size, angle = (float(value) for value in self._filter(raw, time))
        return Roi((x * self._unit, y * self._unit), size * self._unit, angle)


class LiveFollower:
    """Follows one face from frame to frame; one pass of the network a frame."""

    def __init__(self, models: FaceModels) -> None:
        self._follower = FaceFollower(models, passes=1, seed=0, thorough=False)
        self._filter = RegionFilter()
        self._region: np.ndarray | None = None  # [4] where the next frame is looked at
        self._seen: np.ndarray | None = None  # [4] where the face was last

    def __call__(self, rgb: np.ndarray, time: float) -> Landmarks | None:
        """Landmarks in a picture [H,W,3] taken at `time` seconds, or None where there is no face."""
        found: Landmarks | None = self._follower.follow(rgb, self._region, self._seen)
        if found is None:
            self.forget()
            return None
        roi = Roi.from_landmarks(found.points)
        if self._region is None or self._jumped(roi):
            self._filter.reset(roi)
        roi = self._filter(roi, time)
        self._region = self._seen = np.array([*roi.center, roi.size, roi.angle])
        return found

    def forget(self) -> None:
        """Look for the face anew in the next picture, first near where it was."""
        self._region = None

    def _jumped(self, roi: Roi) -> bool:
        """Whether the face is so far off the region that smoothing would lose it: by a sixth of its size."""
        assert self._region is not None
        away = math.hypot(roi.center[0] - self._region[0], roi.center[1] - self._region[1])
        return away > roi.size / 6 or not 0.8 < roi.size / self._region[2] < 1.25
