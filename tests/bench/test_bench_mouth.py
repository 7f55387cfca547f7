"""The mouth bench compares frames beyond training only, and puts truth and avatars below each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tests.bench.bench_mouth import SHEET_FRAMES, sheet, wide_rows


@dataclass
class Clip:
    """What the bench reads of a capture and of a truth."""

    track: dict[str, np.ndarray]
    train_indices: np.ndarray
    test_indices: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...] = ("jawOpen",)


def clip(jaw: list[float], train: int) -> Any:
    rows = np.arange(len(jaw))
    return cast(
        Any, Clip({"frame_number": rows[::-1]}, rows[:train], rows[train:], np.array(jaw[::-1], np.float32)[:, None])
    )


def test_frames_count_if_their_jaw_is_wider_than_in_all_of_training() -> None:
    made = clip([0.1, 0.5, 0.2, 0.45, 0.6, 0.9], 3)
    assert wide_rows(made, made).tolist() == [4, 5]


def test_a_small_opening_is_not_wide_even_if_training_showed_none() -> None:
    made = clip([0.0, 0.0, 0.3, 0.5], 2)
    assert wide_rows(made, made).tolist() == [3]


def test_the_sheet_has_a_row_for_each_and_the_first_and_the_last_frame() -> None:
    frames = [np.full((4, 3, 3), k / 10, np.float32) for k in range(9)]
    made = sheet([frames, frames])
    assert made.shape == (8, 3 * SHEET_FRAMES, 3) and made.dtype == np.uint8
    assert made[0, 0, 0] == 0 and made[0, -1, 0] == int(0.8 * 255)
