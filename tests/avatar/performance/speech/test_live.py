"""Phones of a sound while it is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech.features import RATE
from avatar.performance.speech.live import LATENCY, LiveListener
from avatar.performance.speech.phones import BILABIALS, PHONES
from tests.support.espeak import synthesize

TEXT = "My mama bought a big map of Bombay. Please put the paper cup back."


def frames_of(samples: np.ndarray, rate: int, block: int) -> list:
    listener = LiveListener(rate)
    found = [frame for at in range(0, len(samples), block) for frame in listener.push(samples[at : at + block])]
    return found + listener.finish()


def test_frames_come_a_hundred_times_per_second() -> None:
    samples, rate, _ = synthesize(TEXT)
    frames = frames_of(samples, rate, 512)
    assert [frame.time for frame in frames] == pytest.approx([k / 100 for k in range(len(frames))])
    assert len(frames) == pytest.approx(100 * len(samples) / rate, abs=2)
    assert all(frame.probabilities.shape == (len(PHONES),) and frame.loudness <= 0 for frame in frames)


def test_the_size_of_the_parts_does_not_matter() -> None:
    samples, rate, _ = synthesize("Bob.")
    few, many = frames_of(samples, rate, 4096), frames_of(samples, rate, 100)
    assert len(few) == len(many)
    assert max(np.abs(a.probabilities - b.probabilities).max() for a, b in zip(few, many, strict=True)) < 1e-3


def test_a_frame_comes_after_the_stated_latency() -> None:
    listener = LiveListener(RATE)
    sound = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    pushed = 0
    for at in range(0, RATE, 160):
        frames = listener.push(sound[at : at + 160])
        pushed += 160
        assert all(pushed / RATE - frame.time <= LATENCY + 0.01 + 1e-9 for frame in frames)
        if pushed / RATE >= LATENCY + 0.02:
            assert frames
    assert listener.latency == LATENCY <= 0.08


@pytest.mark.parametrize("voice", ["en-us", "en-us+f3", "gmw/en"])
def test_most_closures_are_told_as_they_happen(voice: str) -> None:
    samples, rate, truth = synthesize(TEXT, voice)
    closed = np.array([frame.closed for frame in frames_of(samples, rate, 441)])
    middles = [round(50 * (phone.start + phone.end)) for phone in truth if phone.name in BILABIALS]
    found = [closed[max(0, middle - 3) : middle + 4].max() > 0.5 for middle in middles]
    assert np.mean(found) >= 0.8


def test_silence_closes_the_mouth() -> None:
    frames = frames_of(np.zeros(RATE, np.float32), RATE, 160)
    assert all(frame.silence > 0.9 and frame.phone == "SIL" for frame in frames)


def test_integers_and_channels_are_heard_like_the_sound_itself() -> None:
    samples, rate, _ = synthesize("Bob.")
    both = np.stack((samples, samples), axis=1)
    integers = (samples * 32768).astype(np.int16)
    plain = frames_of(samples, rate, 1000)
    for other in (both, integers):
        found = frames_of(other, rate, 1000)
        assert max(np.abs(a.probabilities - b.probabilities).max() for a, b in zip(plain, found, strict=True)) < 0.02


def test_what_is_not_finite_does_no_harm() -> None:
    listener = LiveListener(RATE)
    frames = listener.push(np.full(RATE, np.nan, np.float32)) + listener.push(np.full(RATE, np.inf, np.float32))
    assert all(np.isfinite(frame.probabilities).all() and np.isfinite(frame.loudness) for frame in frames)


def test_an_impossible_rate_is_refused() -> None:
    with pytest.raises(HeadsplatError, match="samples per second, expected 4000"):
        LiveListener(0)


def test_the_model_is_found_where_headsplat_is_installed() -> None:
    from avatar.performance.speech.acoustic import FILE

    assert Path(FILE).is_file()
