"""The mouth bench compares the expressions it names, and puts truth and avatars below each other."""

from __future__ import annotations

import numpy as np

from tests.bench.bench_mouth import COMPARED, SHEET_FRAMES, compared_rows, sheet


def test_rows_are_compared_where_an_expression_is_large_and_the_head_still() -> None:
    names = ("browDownLeft", *COMPARED)
    weights = np.zeros((10, len(names)))
    weights[2, 1], weights[3, 1] = COMPARED["jawOpen"] + 0.01, COMPARED["jawOpen"] - 0.01
    weights[4, 0] = weights[9, 1] = 1.0
    weights[5, 2] = 1.0
    found = compared_rows(weights, names)
    assert found["jawOpen"].tolist() == [2] and found["mouthSmileLeft"].tolist() == [5]
    assert not len(found["mouthUpperUpLeft"])


def test_the_sheet_has_a_row_for_each_and_the_first_and_the_last_frame() -> None:
    frames = [np.full((4, 3, 3), k / 10, np.float32) for k in range(11)]
    made = sheet([frames, frames])
    assert made.shape == (8, 3 * SHEET_FRAMES, 3) and made.dtype == np.uint8
    assert made[0, 0, 0] == 0 and made[0, -1, 0] == 255
