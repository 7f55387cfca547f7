"""Who is who in a clip: faces told apart by their colors, so that a passer-by in front is not followed away."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from capture.quality.frame_statistics import DARKEST, face_light

#: Landmarks whose colors tell people apart: forehead, cheeks, nose, chin, jaws, brows, lips, below the eyes.
_PLACES = np.array(
    [151, 108, 337, 50, 280, 205, 425, 117, 346, 4, 197, 199, 172, 397, 136, 365, 105, 334, 66, 296, 0, 17, 230, 450]
)
SIGNATURE = (len(_PLACES), 3)
#: Difference of signatures: one person turning and grimacing stays below the first (0.35 was the largest over two
#: seconds of any clip seen), other people are above it; beyond the second it is someone else even in the same place.
_SAME, _OTHER = 0.35, 0.7
#: What brightness counts against color: exposure and turning change it as well.
_BRIGHTNESS = 0.65
#: From one frame to the next a face moves less than this (of its size) and changes its log size less than this.
_MOVE, _GROW = 0.15, 0.12
#: Frames over which a person's look is remembered.
_MEMORY = 15


def signature(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Log colors [24,3] of linear light over the face with landmarks [478,3] in a frame [H,W,3]."""
    return np.log(np.maximum(face_light(rgb, points[:, :2].astype(np.float32))[_PLACES], DARKEST))


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """How differently two faces look by their signatures; a hand before less than half of a face does not count."""
    bright = [np.median(look.mean(-1)) for look in (first, second)]
    apart = np.median(np.abs((first - bright[0]) - (second - bright[1])).max(-1))
    return float(np.hypot(apart, _BRIGHTNESS * (bright[0] - bright[1])))


@dataclass
class _Known:
    looks: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=_MEMORY))
    roi: np.ndarray = field(default_factory=lambda: np.zeros(4))
    size: float = 0.0  # sum of the sizes of all sightings: how much of the clip is theirs


class People:
    """The people seen so far, numbered in the order of their appearance."""

    def __init__(self, sightings: Iterable[tuple[int, np.ndarray, np.ndarray]] = ()) -> None:
        """
        Args:
            sightings: person, region [4] and signature of each sighting of an earlier run, in order.
        """
        self._known: list[_Known] = []
        self._last: int | None = None
        for person, roi, look in sightings:
            self.see(person, roi, look)

    @property
    def main(self) -> int | None:
        """Who has the largest face for the longest time so far."""
        return max(range(len(self._known)), key=lambda k: self._known[k].size) if self._known else None

    @property
    def last(self) -> int:
        """Who was seen last."""
        assert self._last is not None
        return self._last

    def see(self, person: int, roi: np.ndarray, look: np.ndarray) -> None:
        """Remember a sighting of a known person, or of the next new one."""
        if person == len(self._known):
            self._known.append(_Known())
        known = self._known[person]
        known.looks.append(look)
        known.roi, known.size, self._last = roi, known.size + float(roi[2]), person

    def where(self, person: int) -> np.ndarray:
        """Region [4] where a person was last seen."""
        return self._known[person].roi

    def unlike(self, person: int, look: np.ndarray) -> float:
        """How far a signature is from how the person looked of late."""
        return difference(np.median(self._known[person].looks, axis=0), look)

    def recognize(self, roi: np.ndarray, look: np.ndarray, followed: bool) -> int:
        """Number of the person at region [4] who looks like this; a new number for someone new.

        Args:
            roi: where the face is.
            look: its signature.
            followed: the frame just before showed a face, and this one was found from it.
        """
        if not self._known:
            return 0
        if followed and self._last is not None and self._stayed(roi) and self.unlike(self._last, look) < _OTHER:
            return self._last
        apart = [self.unlike(person, look) for person in range(len(self._known))]
        best = int(np.argmin(apart))
        return best if apart[best] < _SAME else len(self._known)

    def resembles(self, person: int, look: np.ndarray) -> bool:
        """Whether a signature can be that person's."""
        return self.unlike(person, look) < _SAME

    def _stayed(self, roi: np.ndarray) -> bool:
        assert self._last is not None
        before = self._known[self._last].roi
        moved = np.linalg.norm(roi[:2] - before[:2]) / max(roi[2], before[2])
        return bool(moved < _MOVE and abs(np.log(roi[2] / before[2])) < _GROW)
