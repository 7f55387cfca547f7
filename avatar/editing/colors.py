"""Changes of colors in logarithms of linear light, and what they mean for colors in display sRGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from avatar.model.prior import from_log, to_log
from avatar.model.segmentation import Floats

#: Changes logarithms of linear light [P,3], row by row.
Change = Callable[[Floats], Floats]

#: A region that gets brighter gets less contrast: deviations from its mean shrink by this power of the gain, at most to
#: the second number.
_CONTRAST = 0.16
_LEAST = 0.4
#: Step of colors over which the slope of a change is measured, and the largest slope.
_STEP = 0.02
_STEEPEST = 3.0


def moved_mean(colors: Floats, weight: Floats, core: Floats, target: Floats) -> Change:
    """The change that moves the mean of a region to `target` [3].

    Args:
        colors: [P,3] logarithms of linear light before all changes.
        weight: [P] 0..1 of the change.
        core: [P] weight of each place in the mean.
        target: [3] logarithm of linear light.
    """
    mean = core @ colors / core.sum()
    slope = np.clip(np.exp(-_CONTRAST * max(0.0, float((target - mean).mean()))), _LEAST, 1)

    def change(values: Floats) -> Floats:
        return values + weight[:, None] * (target - mean + (slope - 1) * (values - mean))

    return change


def multiplied(weight: Floats, gain: Floats) -> Change:
    """The change by a logarithm of a gain, [3] or [P,3], with weights [P]."""
    return lambda values: values + weight[:, None] * gain


def changed_colors(colors: Floats, changes: Sequence[Change]) -> tuple[Floats, Floats]:
    """What `changes`, one after another, do to colors [P,3]: the difference in display sRGB, and the slope.

    Where nothing changes, the difference is 0 and the slope 1, bit for bit.
    """

    def applied(display: Floats) -> Floats:
        before = to_log(display)
        after = before
        for change in changes:
            after = change(after)
        return np.where(after == before, np.clip(display, 0, 1), from_log(after))

    shown = from_log(colors)
    low = np.clip(shown - _STEP, 0, 1)
    high = np.clip(shown + _STEP, 0, 1)
    at = applied(shown)
    slope = np.clip((applied(high) - applied(low)) / (high - low), 0, _STEEPEST)
    same = (at == shown).all(1, keepdims=True)
    return np.where(same, 0, at - shown), np.where(same, 1, slope)
