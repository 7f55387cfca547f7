"""Which of the frames that come are kept: at most so many, with the most different poses and expressions, sharp ones.

Incremental clustering by a radius that grows (Charikar, Chekuri, Feder, Motwani, "Incremental clustering and dynamic
information retrieval", 1997): a frame farther than the radius from all kept ones is kept. Once there are too many, the
radius grows and those that are then too near to a sharper one are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Distance between kept frames at first, in the units of `capture.faces.face_pose.face_features`: .7 degrees of yaw, or
#: lips apart by a hundredth of the inter-ocular distance. Its factor where there are too many.
_RADIUS = 0.1
_GROWTH = 1.1
#: How much sharper (blur 0..1) a frame is that replaces one that shows the same.
_SHARPER = 0.03


@dataclass(frozen=True)
class Choice:
    """What becomes of a frame and of those kept before."""

    kept: bool
    dropped: tuple[int, ...] = ()  # numbers of frames that were kept before


class FrameSelection:
    """Keeps the frames that matter, one after another."""

    def __init__(self, most: int, radius: float = _RADIUS) -> None:
        """Args: most: frames that are kept at a time; radius: their distance at first."""
        if most < 1:
            raise ValueError(f"FrameSelection: expected at least 1 frame to keep, got {most}")
        self._most = most
        self._radius = radius
        self._numbers: list[int] = []
        self._features = np.zeros((0, 0))
        self._blur: list[float] = []
        self.offered = 0

    @staticmethod
    def restored(most: int, state: Mapping[str, Any], left: Collection[int]) -> FrameSelection:
        """A selection that goes on.

        Args:
            most: frames that are kept at a time.
            state: of the earlier one; raises ValueError, TypeError or KeyError where it is none.
            left: numbers of frames that are still there.
        """
        selection = FrameSelection(most, float(state["radius"]))
        selection._numbers = [int(number) for number in state["numbers"]]
        selection._features = np.array(state["features"], np.float64)
        selection._blur = [float(blur) for blur in state["blur"]]
        if not len(selection._numbers) == len(selection._features) == len(selection._blur):
            raise ValueError("FrameSelection: numbers, features and blur of a state differ in length")
        selection._keep(np.array([row for row, number in enumerate(selection._numbers) if number in left], np.int64))
        return selection

    def state(self) -> dict[str, Any]:
        """What `restored` goes on from, as JSON values."""
        return {
            "radius": self._radius,
            "numbers": list(self._numbers),
            "features": self._features.tolist(),
            "blur": list(self._blur),
        }

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> list[int]:
        """Of the frames that are kept, in the order in which they came."""
        return sorted(self._numbers)

    def offer(self, number: int, features: np.ndarray, blur: float) -> Choice:
        """Keep a frame or not.

        Args:
            number: of the frame.
            features: [D] pose and expression; distances of 1 are noticeable.
            blur: 0 (sharp) .. 1.
        """
        self.offered += 1
        if not self._numbers:
            self._features = np.zeros((0, len(features)))
        distances = np.linalg.norm(self._features - features, axis=1)
        nearest = int(np.argmin(distances)) if len(distances) else -1
        if nearest < 0 or distances[nearest] >= self._radius:
            self._add(number, features, blur)
            dropped = self._thin()
            return Choice(number not in dropped, tuple(each for each in dropped if each != number))
        if blur > self._blur[nearest] - _SHARPER:
            return Choice(False)
        replaced = self._numbers[nearest]
        self._keep(np.delete(np.arange(len(self)), nearest))
        self._add(number, features, blur)
        return Choice(True, (replaced,))

    def _add(self, number: int, features: np.ndarray, blur: float) -> None:
        self._numbers.append(number)
        self._features = np.concatenate([self._features, features[None]])
        self._blur.append(blur)

    def _thin(self) -> list[int]:
        """Drop frames that are near to sharper ones until few enough are left; their numbers."""
        before = list(self._numbers)
        while len(self) > self._most:
            self._radius *= _GROWTH
            rows: list[int] = []
            for row in np.argsort(self._blur, kind="stable").tolist():
                if not rows or np.linalg.norm(self._features[rows] - self._features[row], axis=1).min() >= self._radius:
                    rows.append(row)
            self._keep(np.sort(rows))
        left = set(self._numbers)
        return [number for number in before if number not in left]

    def _keep(self, rows: np.ndarray) -> None:
        self._numbers = [self._numbers[row] for row in rows]
        self._features = self._features[rows]
        self._blur = [self._blur[row] for row in rows]
