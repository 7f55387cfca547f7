"""Frames that are kept as they come: never too many, the most different ones, the sharper of two that look alike."""

from __future__ import annotations

import numpy as np
import pytest

from capture.video.selection import Choice, FrameSelection


def frames(count: int, seed: int = 0) -> np.ndarray:
    """Features of a clip that mostly shows one pose."""
    random = np.random.default_rng(seed)
    return np.where(random.random((count, 1)) < 0.9, 0.3, 3.0) * random.normal(0, 1, (count, 4))


def test_all_frames_that_differ_are_kept_while_there_is_space() -> None:
    selection = FrameSelection(10)
    assert [selection.offer(k, np.array([2.0 * k]), 0.5) for k in range(10)] == [Choice(True)] * 10
    assert selection.numbers == list(range(10)) and selection.offered == 10


def test_never_more_are_kept_than_allowed() -> None:
    selection = FrameSelection(50)
    for number, feature in enumerate(frames(1000)):
        selection.offer(number, feature, 0.5)
        assert len(selection) <= 50
    assert len(selection) > 25


def test_choices_say_what_happens_to_each_frame() -> None:
    selection = FrameSelection(20)
    kept: set[int] = set()
    random = np.random.default_rng(1)
    for number, feature in enumerate(frames(500)):
        choice = selection.offer(number, feature, float(random.uniform(0.3, 0.7)))
        assert set(choice.dropped) <= kept and number not in choice.dropped
        kept -= set(choice.dropped)
        kept |= {number} if choice.kept else set()
        assert sorted(kept) == selection.numbers


def test_every_frame_is_nearer_to_a_kept_one_than_where_frames_are_spread_evenly() -> None:
    features = frames(800)
    selection = FrameSelection(60)
    for number, feature in enumerate(features):
        selection.offer(number, feature, 0.5)

    def farthest(rows: list[int]) -> float:
        distances = np.linalg.norm(features[:, None] - features[rows][None], axis=-1)
        return float(distances.min(1).max())

    even = np.linspace(0, 799, len(selection)).astype(int).tolist()
    assert farthest(selection.numbers) < 0.6 * farthest(even)


def test_of_two_alike_the_sharper_one_is_kept() -> None:
    selection = FrameSelection(5)
    selection.offer(0, np.zeros(3), 0.6)
    assert selection.offer(1, np.zeros(3), 0.59) == Choice(False)
    assert selection.offer(2, np.zeros(3), 0.4) == Choice(True, (0,))
    assert selection.numbers == [2]


def test_when_there_are_too_many_the_sharper_of_near_ones_stays() -> None:
    selection = FrameSelection(2)
    for number, (place, blur) in enumerate([(0.0, 0.5), (0.2, 0.3), (9.0, 0.6)]):
        selection.offer(number, np.array([place]), blur)
    assert selection.numbers == [1, 2]


def test_at_least_one_frame_can_be_kept() -> None:
    with pytest.raises(ValueError, match="at least 1 frame to keep, got 0"):
        FrameSelection(0)
