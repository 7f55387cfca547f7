"""Expressions of hidden regions: between those of the frames before and after, which show the region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from avatar.head.arkit import region_columns
from capture.tracker.problem import State


def held_expressions(
    names: Sequence[str], states: Sequence[State], hidden: Mapping[str, np.ndarray], time: np.ndarray
) -> list[State]:
    """`states` [T] with the expressions of hidden regions interpolated.

    Args:
        names: of the expressions.
        states: in any order of time.
        hidden: masks [T] by region of avatar.head.arkit.HIDEABLE.
        time: [T] seconds.
    """
    if not any(mask.any() for mask in hidden.values()):
        return list(states)
    expression = np.stack([state.expression for state in states])
    for region, mask in hidden.items():
        for column in region_columns(names, region):
            expression[:, column] = interpolated(expression[:, column], mask, time)
    return [replace(state, expression=row) for state, row in zip(states, expression, strict=True)]


def held_angles(angles: np.ndarray, hidden: Mapping[str, np.ndarray], time: np.ndarray) -> np.ndarray:
    """Gaze `angles` [T,2] with those of hidden eyes interpolated; arguments as for `held_expressions`."""
    mask = hidden.get("eyes")
    if mask is None or not mask.any():
        return angles
    return np.column_stack([interpolated(each, mask, time) for each in angles.T])


def interpolated(values: np.ndarray, hidden: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Values [T] of which those at the mask `hidden` lie between their neighbors in time; all hidden: unchanged."""
    known = np.flatnonzero(~hidden & np.isfinite(values))
    if not hidden.any() or not len(known):
        return values
    known = known[np.argsort(time[known], kind="stable")]
    return np.where(hidden, np.interp(time, time[known], values[known]), values)
