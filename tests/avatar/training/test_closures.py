"""Training takes frames of closed eyes more often."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from avatar.training.closures import BLINKS, ENOUGH, MOST, closed_eyes, images_with_closures

NAMES = ("jawOpen", *BLINKS)


def features(frames: int, closed: list[int], usual: float = 0.3) -> torch.Tensor:
    """Eyes that are usually open at a blink of `usual`, and closed in some frames."""
    values = torch.zeros(frames, len(NAMES) + 9)
    values[:, 1:3] = usual
    values[closed, 1:3] = 0.8
    return values


def test_an_eye_is_closed_relative_to_the_usual_one() -> None:
    values = features(20, [3, 4])
    values[10, 1:3] = 0.5
    assert closed_eyes(values, NAMES).nonzero()[:, 0].tolist() == [3, 4]


@pytest.mark.parametrize(("frames", "closed", "times"), [(200, 3, MOST), (100, 5, 3), (40, 8, 1), (200, 2, 1)])
def test_closed_eyes_are_repeated_up_to_a_part_of_all_images(frames: int, closed: int, times: int) -> None:
    count = Counter(images_with_closures(features(frames, list(range(closed))), NAMES))
    assert count == {index: times if index < closed else 1 for index in range(frames)}
    assert times == 1 or times * closed <= ENOUGH * frames


def test_without_closed_eyes_or_blinks_every_image_is_taken_once() -> None:
    assert images_with_closures(features(30, []), NAMES) == list(range(30))
    assert images_with_closures(features(30, [3]), ("jawOpen", "a", "b")) == list(range(30))
