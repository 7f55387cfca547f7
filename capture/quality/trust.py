"""How far each image can be trusted: blur, things before the face, a face that was hardly found.

All references are medians of the training frames. A hand or a cup in front of the face shows twice: the landmark
network no longer agrees with itself over jittered regions there, and the colors at the landmarks change. Skin
before skin changes colors little and a wide open mouth unsettles landmarks, so either alone counts for little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capture.faces.face_pose import face_angles
from capture.quality.frame_statistics import DARKEST, ClipStatistics
from capture.tracker.indices import FACE_COUNT, inter_ocular

#: Landmarks around which regions of the face gather: mouth, chin, cheeks, jaws, brow, nose, eyes.
_ANCHORS = (14, 199, 50, 280, 172, 397, 151, 4, 159, 386)
#: Log ratio of fine to coarse detail against the clip's median: sharp above the first, blurred below the second.
_SHARP = -0.35
_BLURRED = -0.95
#: Log of the spread, and deviation of the colors, from which a region is suspect, and over which they are sure.
_SPREAD_FROM = 0.5
_SPREAD_OVER = 0.7
_COLOR_FROM = 0.8
_COLOR_OVER = 0.7
#: Deviation of the colors that needs no second witness: no expression and no shadow was seen to reach it.
_FOREIGN_FROM = 3.0
_FOREIGN_OVER = 3.0
#: Turns (radians from the usual) up to which nothing is excused, over which the excuse grows by one, and what one
#: excuse adds to the three starts above: the far side of a turned face is unsure and lit otherwise.
_USUAL_TURN = 0.2
_EXCUSE_TURN = 0.3
_EXCUSE = np.array([0.6, 1.2, 2.0])
#: Shading that changes with every turn of the head, of the log of linear light.
_SHADING = 0.06
#: Presence of the face below which, and weight from which on, a frame is listed.
_PRESENT = 0.8
_LISTED = 0.7
_LEAST_WEIGHT = 0.1
#: Standard deviation of a landmark that is hidden, fraction of the inter-ocular distance.
_HIDDEN_SPREAD = 0.1


@dataclass(frozen=True)
class Trust:
    """How far T images can be trusted."""

    weight: np.ndarray  # [T] 0..1
    reason: tuple[str, ...]  # [T] "blurred", "occluded" or "lost", whatever weighs most; "" where all is well
    doubt: np.ndarray  # [T,468] 0..1, how surely a landmark is hidden

    def flags(self, numbers: list[int]) -> list[dict[str, int | str | float]]:
        """The frames `numbers` [T] that count less, as capture.json lists them."""
        return [
            {"frame": int(number), "reason": reason, "weight": round(float(weight), 3)}
            for number, reason, weight in zip(numbers, self.reason, self.weight, strict=True)
            if weight < _LISTED
        ]


@dataclass(frozen=True)
class TrustReference:
    """What is usual in the training frames."""

    region: np.ndarray  # [468] row of _ANCHORS
    color: np.ndarray  # [468,3] median log of linear light, the frame's middle taken out
    deviation: np.ndarray  # [468,3]
    spread: np.ndarray  # [R] median log
    turn: np.ndarray  # [2] radians, median yaw and pitch
    sharpness: float

    def assess(self, statistics: ClipStatistics, points: np.ndarray, spread: np.ndarray, presence: np.ndarray) -> Trust:
        """Assess T frames.

        Args:
            statistics: of their images.
            points: [T,478,3] landmarks, pixels.
            spread: [T,478] of the landmarks, pixels.
            presence: [T] 0..1, of a face.
        """
        regions = np.clip(self._occlusion(statistics, points, spread), 0, 1)
        worst = np.sort(regions, axis=1)[:, -2:].mean(1)
        blur = (_SHARP - (statistics.sharpness - self.sharpness)) / (_SHARP - _BLURRED)
        losses = {
            "blurred": np.clip(blur, 0, 1),
            "occluded": np.maximum(worst, np.clip(1.5 - 2 * statistics.person, 0, 1)),
            "lost": np.clip((_PRESENT - presence) / (_PRESENT - 0.5), 0, 1),
        }
        stacked = np.stack(list(losses.values()))
        weight = np.prod(1 - (1 - _LEAST_WEIGHT) * stacked, axis=0).clip(_LEAST_WEIGHT, 1)
        names = np.array(list(losses))[stacked.argmax(0)]
        reason = tuple(str(name) if value < _LISTED else "" for name, value in zip(names, weight, strict=True))
        return Trust(weight, reason, regions[:, self.region])

    def _occlusion(self, statistics: ClipStatistics, points: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Evidence [T,R] that something is before a region; 1 is enough."""
        deviation = np.abs((_relative_colors(statistics) - self.color) / self.deviation).mean(-1)
        color = _by_region(deviation, self.region)
        doubt = _by_region(_log_spread(points, spread), self.region) - self.spread
        turned = np.linalg.norm(face_angles(points)[:, :2] - self.turn, axis=1)
        excuse = np.maximum(0, turned - _USUAL_TURN)[:, None] / _EXCUSE_TURN * _EXCUSE
        doubt = doubt - excuse[:, :1]
        foreign = color - excuse[:, 2:]
        color = color - excuse[:, 1:2]
        both = _ramp(doubt, _SPREAD_FROM, _SPREAD_OVER) * _ramp(color, _COLOR_FROM, _COLOR_OVER)
        return both + _ramp(foreign, _FOREIGN_FROM, _FOREIGN_OVER)


def trust_reference(statistics: ClipStatistics, points: np.ndarray, spread: np.ndarray) -> TrustReference:
    """The typical values of training frames: their statistics, landmarks [T,478,3] and spread [T,478]."""
    angles = face_angles(points)
    plain = points[int(np.argmin(np.abs(angles - np.median(angles, axis=0)).sum(1))), :FACE_COUNT]
    region = np.argmin(np.linalg.norm(plain[:, None] - plain[list(_ANCHORS)][None], axis=-1), axis=1)
    colors = _relative_colors(statistics)
    middle = np.median(colors, axis=0)
    deviation = 1.4826 * np.median(np.abs(colors - middle), axis=0) + _SHADING
    usual = np.median(_by_region(_log_spread(points, spread), region), axis=0)
    turn = np.median(angles[:, :2], axis=0)
    return TrustReference(region, middle, deviation, usual, turn, float(np.median(statistics.sharpness)))


def doubtful_spread(spread: np.ndarray, points: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Spread [T,478] in pixels with what the landmarks' `doubt` [T,468] adds to it."""
    hidden = np.zeros_like(spread)
    hidden[:, :FACE_COUNT] = _HIDDEN_SPREAD * doubt * inter_ocular(points)[:, None]
    return np.hypot(spread, hidden)


def _relative_colors(statistics: ClipStatistics) -> np.ndarray:
    """Log of linear light [T,468,3] relative to the frame's median: exposure is not occlusion."""
    logs = np.log(np.maximum(statistics.face.astype(np.float64), DARKEST))
    return logs - np.median(logs, axis=1, keepdims=True)


def _log_spread(points: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.log(spread[:, :FACE_COUNT] / inter_ocular(points)[:, None] + 1e-4)


def _by_region(values: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Means [T,R] over the regions of values [T,468]."""
    return np.stack([values[:, region == k].mean(1) for k in range(len(_ANCHORS))], axis=1)


def _ramp(values: np.ndarray, start: float, over: float) -> np.ndarray:
    return np.clip((values - start) / over, 0, 1.3)
