"""Frames of a film among those of its capture, which may have a part of them."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.jobs.film_background import positions_of

NONE = np.nan


@pytest.mark.parametrize(
    ("known", "count", "lost", "expected"),
    [
        ([0, 1, 2], 3, [], [0, 1, 2]),
        ([0, 2, 4], 6, [], [0, 0.5, 1, 1.5, 2, 2]),
        ([0, 1, 2, 5, 6], 7, [3, 4], [0, 1, 2, NONE, NONE, 3, 4]),
        ([2, 4, 8], 11, [6], [NONE, 0, 0, 0.5, 1, NONE, NONE, NONE, 2, 2, NONE]),
        ([3, 4], 6, [0, 1, 2, 5], [NONE, NONE, NONE, 0, 1, NONE]),
    ],
)
def test_frames_between_captured_ones_are_interpolated_and_lost_ones_are_not(
    known: list[int], count: int, lost: list[int], expected: list[float]
) -> None:
    assert np.array_equal(positions_of(np.array(known), count, lost), expected, equal_nan=True)
