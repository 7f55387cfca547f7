"""From the sound of voices to the lips: closures and lip gap against what the voices speak."""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from avatar.motion.edit import resample
from avatar.performance.speech.listen import listen
from avatar.performance.speech.phones import BILABIALS, VOWELS, Phone, Speech
from avatar.performance.speech.speaking import SpeakOptions, speak
from avatar.types import Motion
from tests.support.espeak import synthesize
from tests.support.scripted_speech import at_middle, lip_gap

TEXT = "My mama bought a big map of Bombay. People jump over the happy puppy, and five fish swim by the blue shoes."
VOICES = ("en-us", "gmw/en-GB-scotland", "en-us+f3")
MOUTH = SpeakOptions(fps=30, acting=0)


@cache
def truth(voice: str) -> tuple[np.ndarray, int, Speech]:
    samples, rate, phones = synthesize(TEXT, voice)
    nothing = np.zeros(0, np.float32)
    return samples, rate, Speech(len(samples) / rate, tuple(phones), (), nothing, nothing)


def heard(voice: str, text: str | None, folder: Path) -> Motion:
    samples, rate, _ = truth(voice)
    path = folder / "voice.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((32000 * samples).astype("<i2").tobytes())
    return speak(listen(path, text), MOUTH)


def near(motion: Motion, phone: Phone) -> np.ndarray:
    """The lip gaps of the frame in the middle of a phone and of its neighbors."""
    row = at_middle(motion, phone)
    return lip_gap(motion)[max(row - 1, 0) : row + 2]


@pytest.mark.parametrize(("text", "found"), [(TEXT, 0.95), (None, 0.8)])
def test_closures_are_found_within_a_frame(tmp_path: Path, text: str | None, found: float) -> None:
    shut, wrong, closures, vowels = 0, 0, 0, 0
    for voice in VOICES:
        motion = heard(voice, text, tmp_path)
        for phone in truth(voice)[2].phones:
            if phone.name in BILABIALS:
                closures, shut = closures + 1, shut + (near(motion, phone).min() <= 0)
            elif phone.name in VOWELS:
                vowels, wrong = vowels + 1, wrong + (lip_gap(motion)[at_middle(motion, phone)] <= 0)
    assert shut >= found * closures and wrong <= 0.05 * vowels


@pytest.mark.parametrize("text", [TEXT, None])
@pytest.mark.parametrize("voice", VOICES)
def test_the_lip_gap_is_that_of_the_phones_that_are_spoken(tmp_path: Path, voice: str, text: str | None) -> None:
    motion, script = heard(voice, text, tmp_path), speak(truth(voice)[2], MOUTH)
    count = min(len(motion), len(script))
    assert np.corrcoef(lip_gap(motion)[:count], lip_gap(script)[:count])[0, 1] > 0.8


def test_a_motion_at_a_lower_rate_keeps_its_sync() -> None:
    speech = truth(VOICES[0])[2]
    motion, slow = speak(speech, SpeakOptions(fps=120, acting=0)), speak(speech, MOUTH)
    again = resample(motion, 30)
    count = min(len(again), len(slow))
    assert np.corrcoef(lip_gap(again)[:count], lip_gap(slow)[:count])[0, 1] > 0.95
