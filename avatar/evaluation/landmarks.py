"""Distance between the face landmarks of a rendered image and those of the true frame, found by the same network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatar.data.image_regions import LEFT_EYE_RING, LIP_RING, RIGHT_EYE_RING

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.head.model import HeadModel
    from avatar.types import HeadParams

#: Frames of a row that are measured, evenly spread.
MOST_FRAMES = 60
#: Outer corners of the right and the left eye.
EYE_CORNERS = (33, 263)
#: Inner outline of the lips, which moves with the opening of the mouth.
_INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
#: Landmarks of each column; the first one has all of the mesh, without the irises.
GROUPS: dict[str, tuple[int, ...]] = {
    "landmarks": tuple(range(468)),
    "landmarks_mouth": (*LIP_RING, *_INNER_LIPS),
    "landmarks_eyes": (*RIGHT_EYE_RING, *LEFT_EYE_RING),
}

#: Landmarks [478,3] in pixels of the face in an image [H,W,3] uint8 near known landmarks [478,3]; None: no face there.
Locate = Callable[[np.ndarray, np.ndarray], np.ndarray | None]
#: States [T] of frames, rows [T] of a capture, of a baked head as a live tracker finds them; None where it finds none.
TrackLive = Callable[["HeadModel", "Capture", np.ndarray], "HeadParams | None"]


@dataclass(frozen=True)
class Landmarker:
    """Finds landmarks, or states why it cannot."""

    locate: Locate | None
    absent: str | None = None  # the reason, where `locate` is None
    track_live: TrackLive | None = None


class LandmarkDistance:
    """Columns of landmark distances; the landmarks of true frames are found once and shared by all rows."""

    def __init__(self, locate: Locate) -> None:
        self._locate = locate
        self._truth: dict[int, np.ndarray | None] = {}

    @staticmethod
    def of(landmarker: Landmarker | None) -> LandmarkDistance | None:
        """The columns by a landmarker, or None where it cannot find landmarks."""
        return LandmarkDistance(landmarker.locate) if landmarker and landmarker.locate else None

    def measure(self, source: int, start: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Mean distances of GROUPS in percent of the inter-ocular distance of the true frame, and `landmarks_lost`.

        Args:
            source: row of the frame in the capture.
            start: [478,3] pixels, tracked landmarks, where both searches start.
            predicted: [H,W,3] in 0..1.
            truth: [H,W,3] in 0..1, over the same background.

        Returns:
            Empty where the network finds no face in the true frame; `landmarks_lost` is 100 (percent) and the
            distances are nan where it finds none in the prediction only, else 0.
        """
        if source not in self._truth:
            self._truth[source] = self._locate(_bytes(truth), start)
        true = self._truth[source]
        if true is None:
            return {}
        found = self._locate(_bytes(predicted), start)
        if found is None:
            return {**dict.fromkeys(GROUPS, float("nan")), "landmarks_lost": 100.0}
        return {**distances(found, true), "landmarks_lost": 0.0}


def distances(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Mean image distances of GROUPS between landmarks [478,2+] pixels, percent of the inter-ocular distance of `true`.

    The inter-ocular distance is that in space, so that it does not shrink where the head turns.
    """
    scale = float(np.linalg.norm(true[EYE_CORNERS[0]] - true[EYE_CORNERS[1]]))
    apart = np.linalg.norm(found[:, :2] - true[:, :2], axis=1) * (100 / max(scale, 1e-9))
    return {name: float(apart[list(group)].mean()) for name, group in GROUPS.items()}


def _bytes(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
