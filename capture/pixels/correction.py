"""Changes of expression weights by what the pixels show, relative to the person's calm frames.

What a face looks like at rest differs from person to person more than a small expression changes it: the network sees
how a frame differs from frames in which the person's face is calm and turned to the camera, and the change of a weight
is relative to those frames. The resting face of the landmarks stays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from capture.pixels.network import PixelNetwork

Floats = NDArray[np.floating]

#: The calm frames are so many of all: those nearest to the median weights, with the head turned to the camera.
_CALM = 0.25
_LEAST = 3
_PER_RADIAN = 3.0  # of yaw and of pitch, in the sum of the differences of weights
#: Live: the calm frames are found among so many frames, one every so many seconds; from so many on.
_KEPT = 120
_EVERY = 0.2
_FIRST = 10
_SHOWN = np.array([not name.startswith("eyeLook") for name in ARKIT_52])


@dataclass(frozen=True, eq=False)
class SeenFaces:
    """What is known of T frames before the correction."""

    features: Floats  # [T,2,Z] of the pixels
    weights: Floats  # [T,52] as tracked
    yaw_pitch: Floats  # [T,2] radians, of the head

    def calm(self) -> NDArray[np.int64]:
        """The calm frames, in order."""
        return np.sort(self.calmest_first()[: max(_LEAST, int(_CALM * len(self.weights)))])

    def calmest_first(self) -> NDArray[np.int64]:
        """All frames: those nearest to the median weights, with the head turned to the camera, first."""
        apart = np.abs(self.weights - np.median(self.weights, 0))[:, _SHOWN].sum(1)
        return np.argsort(apart + _PER_RADIAN * np.abs(self.yaw_pitch).sum(1), kind="stable")


@dataclass(frozen=True, eq=False)
class Reference:
    """The calm face of a person."""

    network: PixelNetwork
    features: Floats  # [2,Z]
    weights: Floats  # [52]
    changes: Floats  # [52] that the network gives them

    @staticmethod
    def of(network: PixelNetwork, seen: SeenFaces) -> Reference:
        """From frames of which some are calm."""
        rows = seen.calm()
        features, weights = seen.features[rows], seen.weights[rows]
        mean = features.mean(0), weights.mean(0)
        changes = network.changes(features - mean[0], weights, mean[1], seen.yaw_pitch[rows])
        return Reference(network, *mean, changes.mean(0))

    def changes_of(self, seen: SeenFaces) -> Floats:
        """Changes [T,52] of the weights."""
        found = self.network.changes(seen.features - self.features, seen.weights, self.weights, seen.yaw_pitch)
        return np.asarray(found - self.changes)


def clip_changes(network: PixelNetwork, seen: SeenFaces) -> Floats:
    """Changes [T,52] of the weights of a clip of one person."""
    return Reference.of(network, seen).changes_of(seen)


@dataclass
class RunningChanges:
    """Changes of the weights frame by frame; the calm frames are among the last ones."""

    network: PixelNetwork
    _frames: deque[SeenFaces] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _reference: Reference | None = None
    _time: float = -np.inf

    def reset(self) -> None:
        """Another person is in front of the camera."""
        self._frames.clear()
        self._reference = None
        self._time = -np.inf

    def __call__(self, seen: SeenFaces, time: float) -> Floats:
        """Changes [52] of the weights of one frame [1] at `time` seconds; zeros until the calm face is known."""
        if not self._time <= time < self._time + _EVERY:
            self._time = time
            self._frames.append(seen)
            if len(self._frames) >= _FIRST:
                columns = zip(*((one.features, one.weights, one.yaw_pitch) for one in self._frames), strict=True)
                self._reference = Reference.of(self.network, SeenFaces(*(np.concatenate(each) for each in columns)))
        if self._reference is None:
            return np.zeros(len(ARKIT_52))
        return np.asarray(self._reference.changes_of(seen)[0])
