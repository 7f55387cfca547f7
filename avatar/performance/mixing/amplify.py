"""Expressions made stronger by region, within ARKit's bounds, and pairs that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avatar.errors import HeadsplatError
from avatar.performance.mixing.regions import NAMES, Mask

#: The largest factor: beyond it the soft knee would not stay monotone.
MAX_FACTOR = 1.5
#: Exponent of the knee. The slope at weight 1 is 1 - (factor - 1) * (_KNEE - 1), 0 at MAX_FACTOR.
_KNEE = 3

#: (first, second): the second is at most 1 - first, as a closed lid cannot be wide.
FIRST_OVER_SECOND = tuple((f"eyeBlink{side}", f"eyeWide{side}") for side in ("Left", "Right"))
#: Opposites: where both add up to more than 1, both are scaled to a sum of 1.
OPPOSITES = (
    *((f"mouthSmile{side}", f"mouthFrown{side}") for side in ("Left", "Right")),
    *((f"browDown{side}", f"browOuterUp{side}") for side in ("Left", "Right")),
    *((f"eyeLookUp{side}", f"eyeLookDown{side}") for side in ("Left", "Right")),
    *((f"eyeLookIn{side}", f"eyeLookOut{side}") for side in ("Left", "Right")),
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
    ("mouthFunnel", "mouthRollLower"),
)


def amplified(weights: np.ndarray, factors: Mapping[str, float]) -> np.ndarray:
    """Weights scaled by region with a soft knee: proportional while small, never above 1, order preserved.

    A weight w becomes f w / (1 + (f - 1) w^3) for a factor f above 1, and f w below. A factor of 1 changes no bit.

    Args:
        weights: [T,len(NAMES)].
        factors: selector (see `regions.selected`) -> factor from 0 to MAX_FACTOR; of several for one expression the
            last counts, so that a side or an expression can differ from its region.

    Returns:
        [T,len(NAMES)]; joints are not scaled.

    Raises:
        HeadsplatError: an unknown selector, or a factor out of range.
    """
    factor = np.ones(len(NAMES))
    for selector, value in factors.items():
        mask = Mask.of(selector, "amplify")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_FACTOR:
            raise HeadsplatError(f"amplify: {selector} is {value!r:.40}, expected a factor from 0 to {MAX_FACTOR}")
        factor[mask.names > 0] = value
    strong = np.maximum(factor - 1, 0)
    scaled = factor * weights / (1 + strong * np.clip(weights, 0, 1) ** _KNEE)
    limited = np.minimum(scaled, np.maximum(weights, 1.0))
    return np.where(factor == 1, weights, limited)


def without_contradictions(weights: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Weights [T,len(NAMES)] in which opposite expressions do not exceed a sum of 1.

    Args:
        weights: [T,len(NAMES)] 0..1.
        touched: [len(NAMES)] bool, expressions that a mix has changed; pairs of others stay as they are.
    """
    result = weights.copy()
    for first, second in FIRST_OVER_SECOND:
        one = NAMES.index(first)
        other = NAMES.index(second)
        if touched[one] or touched[other]:
            result[:, other] = np.minimum(weights[:, other], np.maximum(1 - weights[:, one], 0))
    for first, second in OPPOSITES:
        pair = [NAMES.index(first), NAMES.index(second)]
        if touched[pair].any():
            total = weights[:, pair].sum(1, keepdims=True)
            result[:, pair] = weights[:, pair] / np.maximum(total, 1)
    return result
