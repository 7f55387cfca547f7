from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.video.split import MAX_TEST, FramePlan, Split, frame_plan, split_frames


def plan_frames(count: int, fps: float, split: Split) -> FramePlan:
    return frame_plan(*split_frames(count, fps, split))


def test_a_fraction_holds_out_the_contiguous_end():
    plan = plan_frames(400, 25.0, Split(fraction=0.2))
    assert plan.is_test.sum() == 80
    assert plan.is_test[320:].all() and not plan.is_test[:320].any()


def test_every_nth_frame_is_held_out_by_frame_number():
    plan = plan_frames(23, 30.0, Split(every=5))
    assert plan.numbers[plan.is_test].tolist() == [4, 9, 14, 19]


def test_nothing_is_held_out_without_a_split():
    plan = plan_frames(50, 30.0, Split())
    assert not plan.is_test.any() and Split().mode == "none"


def test_long_clips_hold_out_350_frames_at_most():
    plan = plan_frames(5000, 30.0, Split(fraction=0.2))
    assert plan.is_test.sum() == MAX_TEST == 350
    assert plan.numbers[plan.is_test][0] == 5000 - 350


def test_sixty_frames_a_second_are_halved():
    plan = plan_frames(100, 59.94, Split())
    assert plan.numbers.tolist() == list(range(0, 100, 2))


def test_frames_of_the_plan_are_in_order_and_unique():
    plan = plan_frames(1500, 30.0, Split(every=4))
    assert (np.diff(plan.numbers) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fraction": 0.2, "every": 5}, "both given"),
        ({"fraction": 1.0}, "--test-fraction: expected 0 to 0.9, got 1.0"),
        ({"every": 1}, "--test-every: expected 2 or more, got 1"),
    ],
)
def test_an_impossible_split_is_refused_in_words(arguments, words):
    with pytest.raises(HeadsplatError, match=words):
        Split(**arguments)
