"""The style of a person, measured from a tracked sequence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.performance.speech.speaking import SpeakOptions, speak
from avatar.performance.speech.style import SpeakingStyle
from avatar.types import Motion
from tests.support.scripted_speech import SENTENCE, scripted, weight

SPEECH = scripted(" ".join([SENTENCE] * 5))


def scaled(motion: Motion, factors: dict[str, float]) -> Motion:
    weights = motion.weights.clone()
    for column, name in enumerate(motion.names):
        weights[:, column] *= next((factor for key, factor in factors.items() if name.startswith(key)), 1.0)
    return replace(motion, weights=weights)


def test_a_person_who_opens_the_jaw_less_gets_a_smaller_jaw() -> None:
    take = speak(SPEECH, SpeakOptions(seed=3))
    wide, narrow = (SpeakingStyle.of(scaled(take, {"jawOpen": factor})).gain("jawOpen") for factor in (1.0, 0.7))
    assert narrow / wide == pytest.approx(0.7, abs=0.02)


def test_the_default_style_measures_itself() -> None:
    style = SpeakingStyle.of(speak(SPEECH, SpeakOptions(seed=3)))
    assert all(0.75 < gain < 1.35 for gain in style.gains.values()) and len(style.gains) == 4


def test_a_lopsided_mouth_stays_lopsided() -> None:
    take = scaled(speak(SPEECH, SpeakOptions(seed=3)), {"mouthLowerDownLeft": 0.5, "mouthUpperUpLeft": 0.5})
    motion = speak(SPEECH, SpeakOptions(style=SpeakingStyle.of(take)))
    assert weight(motion, "mouthLowerDownLeft").max() < 0.8 * weight(motion, "mouthLowerDownRight").max()


def test_blinks_are_counted() -> None:
    take = speak(SPEECH, SpeakOptions(acting=0))
    weights = take.weights.clone()
    for start in range(100, len(weights) - 20, 200):
        weights[start : start + 15, [take.names.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 0.9
    count = len(range(100, len(weights) - 20, 200))
    style = SpeakingStyle.of(replace(take, weights=weights))
    assert style.blink_rate == pytest.approx(60 * count / (len(take) / 60), rel=0.02)


def test_a_moving_head_is_measured() -> None:
    take = speak(SPEECH, SpeakOptions(acting=0))
    joint_rot = take.joint_rot.clone()
    joint_rot[:, 0, 1] = np.deg2rad(3) * np.sqrt(2) * torch.sin(2 * np.pi * 0.4 * take.time)
    style = SpeakingStyle.of(replace(take, joint_rot=joint_rot))
    assert style.head_degrees[1] == pytest.approx(3, abs=0.3) and style.head_degrees[2] < 0.5
    assert style.head_speed == pytest.approx(3 * 2 * np.pi * 0.4, rel=0.1)


def test_a_sequence_that_does_not_move_is_noted_and_keeps_the_defaults() -> None:
    take = speak(scripted("SIL:5"), SpeakOptions(acting=0))
    style = SpeakingStyle.of(take)
    assert style.gain("jawOpen") == 1 and style.blink_rate == SpeakingStyle().blink_rate
    assert style.notes == ("the style's sequence hardly moves: jaw, rounding, spreading, opening",)


def test_a_short_sequence_is_refused() -> None:
    with pytest.raises(HeadsplatError, match=r"shows a face for 0\.5 s, at least 3 s are needed"):
        SpeakingStyle.of(speak(scripted("SIL:.5")))


def test_frames_without_a_face_do_not_count() -> None:
    take = speak(scripted("SIL:5"))
    with pytest.raises(HeadsplatError, match=r"shows a face for 0\.0 s"):
        SpeakingStyle.of(replace(take, confidence=torch.zeros(len(take))))


def test_other_expressions_are_refused() -> None:
    with pytest.raises(HeadsplatError, match="expressions of flame, not ARKit's"):
        SpeakingStyle.of(replace(speak(scripted("SIL:5")), space="flame"))
