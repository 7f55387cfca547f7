"""Minimum-jerk steps and pulses over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def minimum_jerk(part: Array) -> Array:
    """The minimum-jerk step from 0 to 1 (Flash and Hogan 1985) at `part` of its duration, any number."""
    x = part.clip(0, 1)
    return np.asarray(x**3 * (10 + x * (6 * x - 15)))


def add_pulse(values: Array, times: Array, start: float, spans: tuple[float, float, float], size: float) -> None:
    """Add a pulse to `values` [T] at `times` [T] seconds.

    Args:
        values: changed in place.
        times: seconds, increasing.
        start: seconds.
        spans: seconds in which it rises, stays and falls.
        size: height.
    """
    rise, stay, fall = spans
    near = slice(*np.searchsorted(times, (start, start + rise + stay + fall)))
    since = times[near] - start
    values[near] += size * minimum_jerk(since / rise) * (1 - minimum_jerk((since - rise - stay) / fall))
