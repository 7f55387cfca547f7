"""Whether something is before the eyes or the mouth of a face: sunglasses, a mask, a hand, a phone, a microphone.

The landmark network finds eyes and lips in every face, also where it cannot see them. Three observations show that it
cannot. The landmarks of hidden lips and eyes differ between jittered regions, those of lips by a fortieth of the
inter-ocular distance; those of visible lips by a 250th. Lips are redder than the skin around them; masks, hands and
phones have one color there. Dark lenses have a rim that the network takes for lids, but the skin around both eyes is
several times darker than forehead and cheeks, or of another color, and neither iris nor white of the eye stands out.
All of it is relative to the same face in the same frame. What is before a face in a part of the frames only is found
by the others, too (capture/quality/hidden_regions.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.head.arkit import HIDEABLE
from capture.quality.hidden_regions import HIDDEN, Patterns, region_patterns, usual_colors
from capture.tracker.indices import EYES, LEFT_IRIS, LIPS, RIGHT_IRIS

#: Landmarks on the red of the lips, and on the skin around them.
_RED = (72, 11, 302, 38, 268, 73, 303, 12, 15, 16, 85, 315, 86, 316, 74, 304, 41, 271, 180, 404, 90, 320, 179, 403)
_AROUND_LIPS = (
    164, 167, 393, 165, 391, 18, 83, 313, 200, 201, 421, 92, 322, 57, 287, 43, 273, 106, 335, 182, 406, 202, 422,
    212, 432, 186, 410,
)  # fmt: skip
#: For each eye: the skin above it, the skin below it, and what differs in brightness where the eye is visible (the edge
#: of the lower lid, the contour of the lids, the iris).
_EYES = (
    (
        (247, 30, 29, 27, 28, 56, 225, 224, 223, 222),
        (110, 24, 23, 22, 26, 112, 228, 229, 230, 231, 232),
        (22, 23, 24, 26, 110, *EYES[:16], *range(RIGHT_IRIS, RIGHT_IRIS + 5)),
    ),
    (
        (467, 260, 259, 257, 258, 286, 445, 444, 443, 442),
        (339, 254, 253, 252, 256, 341, 448, 449, 450, 451, 452),
        (252, 253, 254, 256, 339, *EYES[16:], *range(LEFT_IRIS, LEFT_IRIS + 5)),
    ),
)
_LIDS_AND_IRIS = (
    (EYES[:16], np.arange(RIGHT_IRIS, RIGHT_IRIS + 5)),
    (EYES[16:], np.arange(LEFT_IRIS, LEFT_IRIS + 5)),
)
#: Skin to compare with; a mask hides the cheeks, hair a part of the forehead, of which the bright quarter counts.
_CHEEKS = (205, 425, 50, 280, 4, 5, 187, 411, 36, 266)
_FOREHEAD = (151, 9, 108, 337, 69, 299, 104, 333)
_BRIGHT_QUARTER = 0.75
#: Landmarks above the nose, whose spread is that of the image: its noise, blur and size.
_STEADY = (151, 9, 8, 168, 6, 108, 337, 70, 300, 105, 334)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
#: Light, relative to the skin's, that codecs and reflections leave unknown.
_FLOOR = 0.03
#: Light of the skin (linear, 0..1) under which colors are those of the codec.
_DARK = 0.02
#: Redness (log of red over green, against the skin around) from which lips are certain, and its weight.
_LIPS_RED = 0.3
_REDNESS = 8.0
#: Difference in color that the skin around eyes may have: make-up, shadow.
_TINT = 0.3
_CONTRAST = (0.05, 0.95)  # quantiles
#: In 375 frames of nine people as they were filmed the highest mouth score is -4.0 and the lowest eye score .17; behind
#: masks, hands and phones the median is -2, behind dark lenses -1.
_MOUTH_HIDDEN = -3.2
_EYES_HIDDEN = -0.65
#: Of the spread of the steadier eye. In 3136 frames of seven people the highest is -4.8; behind headsets the median is
#: -3.7, under a hat -4.5, behind mirrored lenses -4.6.
_EYES_UNSTEADY = -4.75
#: Number of consecutive samples whose median decides: a blink or a turn is shorter, a mask stays.
_WINDOW = 5


@dataclass(frozen=True)
class RegionScores:
    """Evidence in T frames, NaN where there is none."""

    eyes: np.ndarray  # [T] both eyes are hidden above 0
    mouth: np.ndarray  # [T] likewise


def hidden_shares(scores: RegionScores, sequences: np.ndarray | None) -> dict[str, float]:
    """Share 0..1 of the frames in which each region is hidden, of those in which it can be decided.

    Args:
        scores: of T frames.
        sequences: [T] which frames follow each other in time: those of one camera; None where none do.
    """
    return {region: _share(getattr(scores, region), sequences) for region in HIDEABLE}


def region_scores(light: np.ndarray, spread: np.ndarray, points: np.ndarray) -> RegionScores:
    """Measure T frames that show the face from the front.

    Args:
        light: [T,478,3] linear light 0..1 around each landmark.
        spread: [T,478] of the landmarks over jittered regions, fraction of the inter-ocular distance; 0 or NaN where
            it was not measured.
        points: landmarks [T,478,2 or 3], pixels.
    """
    logs = np.log(np.where(spread > 0, spread, np.nan))
    mouth = _mouth_scores(light, logs)
    luminance = light @ _LUMINANCE
    forehead = np.quantile(luminance[:, _FOREHEAD], _BRIGHT_QUARTER, axis=1)
    # A shadow of a cap or of hair darkens the forehead too.
    masked = mouth > _MOUTH_HIDDEN
    skin = np.where(masked, forehead, np.minimum(forehead, _median(luminance, _CHEEKS)))
    eyes = np.fmax(_EYES_HIDDEN - _eye_scores(light, skin, masked), _eye_spread(logs) - _EYES_UNSTEADY)
    unlike = {region: _unlike_usual(seen) for region, seen in region_patterns(light, points).items()}
    lit = skin > _DARK
    return RegionScores(
        np.where(lit, np.fmax(eyes, unlike["eyes"]), np.nan),
        np.where(lit, np.fmax(mouth - _MOUTH_HIDDEN, unlike["mouth"]), np.nan),
    )


def _unlike_usual(seen: Patterns) -> np.ndarray:
    """Evidence [T] that a region is hidden by what most frames show; NaN where most do not show the same."""
    usual = usual_colors(seen)
    return np.full(len(seen.colors), np.nan) if usual is None else HIDDEN - seen.likeness(usual)


def _eye_spread(logs: np.ndarray) -> np.ndarray:
    """Spread of the eye that is found more steadily, mean of lids and iris; `logs` [T,478]."""
    return np.minimum(*((_median(logs, lids) + _median(logs, iris)) / 2 for lids, iris in _LIDS_AND_IRIS))


def _mouth_scores(light: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Spread of the lips, and once more relative to that of eyes or forehead, less the redness of the lips."""
    lips, eyes, steady = (_median(logs, places) for places in (LIPS, EYES, _STEADY))
    skin = np.maximum(_median(light, _CHEEKS) @ _LUMINANCE, 1e-4)[:, None]
    redness = np.log(light[..., 0] / skin + _FLOOR) - np.log(light[..., 1] / skin + _FLOOR)
    redder = _median(redness, _RED) - _median(redness, _AROUND_LIPS)
    return 2 * lips - np.fmin(eyes, steady) - _REDNESS * np.clip(redder, 0, _LIPS_RED)


def _eye_scores(light: np.ndarray, skin: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Brightness of the skin around the eye that is less hidden, plus contrast in the eye, less difference in color."""
    skin = np.maximum(skin, 1e-4)
    brightness = np.log(light @ _LUMINANCE / skin[:, None] + _FLOOR)
    logs = np.log(light / skin[:, None, None] + _FLOOR)
    color = logs[..., :2] - logs[..., 1:]
    typical = np.where(masked[:, None], _median(color, _FOREHEAD), _median(color, _CHEEKS))
    scores = []
    for above, below, inside in _EYES:
        around = np.maximum(_median(brightness, above), _median(brightness, below))
        contrast = np.ptp(np.quantile(brightness[:, inside], _CONTRAST, axis=1), axis=0)
        tint = np.linalg.norm(_median(color, below) - typical, axis=1)
        scores.append(around + contrast - np.maximum(tint - _TINT, 0))
    return np.maximum(*scores)


def _share(evidence: np.ndarray, sequences: np.ndarray | None) -> float:
    known = np.isfinite(evidence)
    if not known.any():
        return 0.0
    if sequences is None:
        return float((evidence[known] > 0).mean())
    parts = [evidence[known & (sequences == name)] for name in np.unique(sequences[known])]
    return float((np.concatenate([_median_filter(part) for part in parts]) > 0).mean())


def _median_filter(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, _WINDOW // 2, mode="symmetric")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=-1)


def _median(values: np.ndarray, places: tuple[int, ...] | np.ndarray) -> np.ndarray:
    return np.median(values[:, places], axis=1)
