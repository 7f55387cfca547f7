"""A known text that is followed while it is heard."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.performance.speech.phones import PHONES
from avatar.performance.speech.text_follower import TextFollower

pytest.importorskip("pocketsphinx", reason="the dictionary is not installed")


def heard(*phones: str, probability: float = 0.9) -> np.ndarray:
    """Probabilities [P] shared by phones."""
    rest = (1 - probability) / (len(PHONES) - len(phones))
    return np.array([probability / len(phones) if name in phones else rest for name in PHONES], np.float32)


def follow(follower: TextFollower, *sounds: tuple[str, ...], frames: int = 8) -> list[np.ndarray]:
    return [follower.update(heard(*sound)) for sound in sounds for _ in range(frames)]


def test_the_text_decides_between_sounds_that_are_alike() -> None:
    follower = TextFollower()
    follower.add("mama")
    frames = follow(follower, ("SIL",), ("M", "N"), ("AA",), ("M", "N"), ("AH",))
    for number in (12, 28):  # within the first and the second m
        assert frames[number][PHONES.index("M")] > 0.9
    assert all(frame.sum() == pytest.approx(1, abs=1e-5) for frame in frames)


def test_words_may_follow_while_it_is_heard() -> None:
    follower = TextFollower()
    follower.add("mama")
    follow(follower, ("SIL",), ("M",), ("AA",), ("M",))
    follower.add("naps")
    frames = follow(follower, ("AH",), ("M", "N"), ("AE",))
    assert frames[12][PHONES.index("N")] > 0.9


def test_a_text_that_is_not_said_is_not_trusted() -> None:
    follower = TextFollower()
    follower.add("mama")
    sounds = [("S",), ("IY",), ("T",), ("S",), ("IY",), ("T",)] * 3
    frames = follow(follower, *sounds)
    assert np.allclose(frames[-1], heard("T"), atol=1e-3)


def test_without_words_it_is_as_heard() -> None:
    assert np.array_equal(TextFollower().update(heard("M")), heard("M"))
