"""The mouth and the idling face of live speech."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.idling import Idling
from avatar.performance.speech.live_mouth import LiveMouth
from avatar.performance.speech.phones import PHONES
from tests.support.scripted_speech import lip_gap_of


def likely(phone: str, probability: float = 0.96) -> np.ndarray:
    """Probabilities [P] with one likely phone."""
    rest = (1 - probability) / (len(PHONES) - 1)
    return np.array([probability if name == phone else rest for name in PHONES], np.float32)


def after(mouth: LiveMouth, phone: str, frames: int = 10, probability: float = 0.96) -> np.ndarray:
    for _ in range(frames):
        weights = mouth.update(likely(phone, probability))
    return weights


@pytest.mark.parametrize("phone", ["M", "B", "P"])
@pytest.mark.parametrize("vowel", ["AA", "UW", "AE"])
def test_lips_shut_within_four_hundredths_of_a_second_and_part_again(phone: str, vowel: str) -> None:
    mouth = LiveMouth()
    after(mouth, vowel, 20)
    assert lip_gap_of(after(mouth, phone, 4)) < 0.5
    assert lip_gap_of(after(mouth, phone, 4)) < 0
    assert lip_gap_of(after(mouth, vowel, 6)) > 2


def test_an_unlikely_closure_does_not_shut_the_lips() -> None:
    mouth = LiveMouth()
    probabilities = 0.2 * likely("M") + 0.8 * likely("AA")
    for _ in range(20):
        weights = mouth.update(probabilities)
    assert lip_gap_of(weights) > 3


def test_silence_is_a_resting_mouth() -> None:
    mouth = LiveMouth()
    after(mouth, "AA", 20)
    assert lip_gap_of(after(mouth, "SIL", 40, 1.0)) < 0.2


def test_shapes_differ() -> None:
    mouth = LiveMouth()
    pucker, jaw = ARKIT_52.index("mouthPucker"), ARKIT_52.index("jawOpen")
    rounded = after(mouth, "UW", 30)
    wide = after(mouth, "AA", 30)
    assert rounded[pucker] > 0.4 > 0.1 > wide[pucker] and wide[jaw] > 0.3 > 0.2 > rounded[jaw]


def test_jaw_and_lips_are_separate() -> None:
    mumbled = after(LiveMouth(jaw=0), "UW", 30)
    assert mumbled[ARKIT_52.index("jawOpen")] == 0 and mumbled[ARKIT_52.index("mouthPucker")] > 0.4


def test_a_reset_mouth_rests() -> None:
    mouth = LiveMouth()
    after(mouth, "AA", 20)
    mouth.reset()
    assert mouth.update(likely("SIL", 1.0)).max() == 0


def test_weights_change_smoothly_and_stay_in_range() -> None:
    mouth = LiveMouth()
    rows = [mouth.update(likely(phone)) for phone in ("AA", "M", "UW", "P", "IY", "S", "SIL") for _ in range(12)]
    weights = np.stack(rows)
    assert weights.min() >= 0 and weights.max() <= 1 and np.abs(np.diff(weights, axis=0)).max() < 0.35


def test_idling_blinks_looks_and_repeats_without_a_jump() -> None:
    idling = Idling(3)
    frames = [idling.at(k / 60) for k in range(14_500)]
    columns = frames[0][0]
    weights, heads = np.stack([row[1] for row in frames]), np.stack([row[2] for row in frames])
    names = [ARKIT_52[column] for column in columns]
    assert not any(name.startswith(("jaw", "mouth")) for name in names)
    assert weights[:, names.index("eyeBlinkLeft")].max() > 0.9
    assert np.rad2deg(np.abs(np.diff(heads, axis=0)).max()) < 0.6
    assert (idling.at(1.0)[1] == idling.at(241.0)[1]).all()


def test_idling_is_seeded() -> None:
    assert (Idling(1).at(5)[2] == Idling(1).at(5)[2]).all() and (Idling(1).at(5)[2] != Idling(2).at(5)[2]).any()
