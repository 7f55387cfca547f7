from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.video.split import MAX_TEST, FramePlan, Split, frame_plan, split_by_yaw, split_frames


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
        ({"yaw": 15.0, "every": 5}, "--test-yaw and --test-fraction or --test-every: both given"),
        ({"yaw": 15.0, "fraction": 0.0}, "--test-yaw and --test-fraction or --test-every: both given"),
        ({"yaw": 90.0}, "--test-yaw: expected 1 to 60 degrees, got 90.0"),
        ({"every": 1}, "--test-every: expected 2 or more, got 1"),
    ],
)
def test_an_impossible_split_is_refused_in_words(arguments, words):
    with pytest.raises(HeadsplatError, match=words):
        Split(**arguments)


def turning(count: int = 100, degrees: float = 40.0) -> np.ndarray:
    """Yaw [count] in radians, from -degrees to degrees around a mean of 10 degrees."""
    return np.radians(10 + np.linspace(-degrees, degrees, count))


def test_a_split_by_yaw_waits_for_the_yaw() -> None:
    plan = plan_frames(100, 30.0, Split(yaw=15.0))
    assert not plan.is_test.any() and (Split(yaw=15.0).mode, Split(yaw=15.0).value) == ("yaw", 15.0)


def test_frames_far_from_the_mean_yaw_are_held_out() -> None:
    yaw = turning()
    training, held_out = split_by_yaw(np.arange(100), yaw, 15.0, "clip.mp4")
    distance = np.degrees(np.abs(yaw - yaw.mean()))
    assert distance[training].max() <= 15 < distance[held_out].min()
    assert sorted([*training, *held_out]) == list(range(100))


def test_a_split_by_yaw_keeps_the_numbers_of_thinned_frames() -> None:
    training, held_out = split_by_yaw(np.arange(0, 200, 2), turning(), 15.0, "clip.mp4")
    assert (training % 2 == 0).all() and (held_out % 2 == 0).all() and held_out.max() == 198


def test_a_long_split_by_yaw_holds_out_350_frames_at_most() -> None:
    assert len(split_by_yaw(np.arange(2000), turning(2000), 15.0, "clip.mp4")[1]) == MAX_TEST


@pytest.mark.parametrize(
    ("degrees", "words"),
    [
        (50.0, "clip.mp4: --test-yaw 50 holds out no frame, the yaw is at most 40 degrees from its mean"),
        (1.0, "clip.mp4: --test-yaw 1 leaves 2 training frames, at least 16 are needed; give a larger angle"),
    ],
)
def test_a_split_by_yaw_without_either_part_is_refused(degrees: float, words: str) -> None:
    with pytest.raises(HeadsplatError, match=words):
        split_by_yaw(np.arange(100), turning(), degrees, "clip.mp4")
