"""Identification of the people in a clip by the colors of their faces: tracking must not switch to a passer-by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from capture.quality.frame_statistics import DARKEST, face_light

#: Landmarks whose colors distinguish people: forehead, cheeks, nose, chin, jaws, brows, lips, below the eyes.
_PLACES = np.array(
    [151, 108, 337, 50, 280, 205, 425, 117, 346, 4, 197, 199, 172, 397, 136, 365, 105, 334, 66, 296, 0, 17, 230, 450]
)
SIGNATURE = (len(_PLACES), 3)
#: Difference of signatures: one person turning and grimacing stays below the first (0.35 was the largest over two
#: seconds of any clip seen), other people are above it; beyond the second it is someone else even in the same place.
_SAME = 0.35
_OTHER = 0.7
#: What brightness counts against color: exposure and turning change it as well.
_BRIGHTNESS = 0.65
#: From one frame to the next a face moves less than this (of its size) and changes its log size less than this.
_MOVE = 0.15
_GROW = 0.12
#: Number of recent frames over which a person's appearance is kept.
_MEMORY = 15


def signature(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Log colors [24,3] of linear light over the face with landmarks [478,3] in a frame [H,W,3]."""
    return np.log(np.maximum(face_light(rgb, points[:, :2].astype(np.float32))[_PLACES], DARKEST))


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Distance between two faces by their signatures; a hand that covers less than half of a face has no effect."""
    bright = [np.median(appearance.mean(-1)) for appearance in (first, second)]
    apart = np.median(np.abs((first - bright[0]) - (second - bright[1])).max(-1))
    return float(np.hypot(apart, _BRIGHTNESS * (bright[0] - bright[1])))


@dataclass
class _Known:
    appearances: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=_MEMORY))
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
        for person, roi, appearance in sightings:
            self.see(person, roi, appearance)

    @property
    def main(self) -> int | None:
        """The person whose face was the largest for the longest time so far."""
        return max(range(len(self._known)), key=lambda k: self._known[k].size) if self._known else None

    @property
    def last(self) -> int:
        """The person seen last."""
        assert self._last is not None
        return self._last

    def see(self, person: int, roi: np.ndarray, appearance: np.ndarray) -> None:
        """Remember a sighting of a known person, or of the next new one."""
        if person == len(self._known):
            self._known.append(_Known())
        known = self._known[person]
        known.appearances.append(appearance)
        known.roi = roi
        known.size = known.size + float(roi[2])
        self._last = person

    def where(self, person: int) -> np.ndarray:
        """Region [4] where a person was last seen."""
        return self._known[person].roi

    def unlike(self, person: int, appearance: np.ndarray) -> float:
        """Distance of a signature from the person's recent appearance."""
        return difference(np.median(self._known[person].appearances, axis=0), appearance)

    def recognize(self, roi: np.ndarray, appearance: np.ndarray, followed: bool) -> int:
        """Number of the person at region [4] with this appearance; a new number for an unknown person.

        Args:
            roi: where the face is.
            appearance: its signature.
            followed: the frame just before showed a face, and this one was found from it.
        """
        if not self._known:
            return 0
        last = self._last
        if followed and last is not None and self._has_stayed(roi) and self.unlike(last, appearance) < _OTHER:
            return last
        apart = [self.unlike(person, appearance) for person in range(len(self._known))]
        best = int(np.argmin(apart))
        return best if apart[best] < _SAME else len(self._known)

    def resembles(self, person: int, appearance: np.ndarray) -> bool:
        """Whether a signature can be that person's."""
        return self.unlike(person, appearance) < _SAME

    def _has_stayed(self, roi: np.ndarray) -> bool:
        assert self._last is not None
        before = self._known[self._last].roi
        moved = np.linalg.norm(roi[:2] - before[:2]) / max(roi[2], before[2])
        return bool(moved < _MOVE and abs(np.log(roi[2] / before[2])) < _GROW)
