"""Loudness, pitch and the change of sample rates."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech.features import HOP, RATE, FrameCutter, log_mel
from avatar.performance.speech.live import Resampler
from avatar.performance.speech.tracks import SILENT, PitchTracker, levels, voiced_only
from tools.weights.speech_corpus import windows_of


def voice(hertz: np.ndarray | float, seconds: float = 1.0) -> np.ndarray:
    """A pulse train through two resonances: a vowel with the given pitch."""
    count = int(RATE * seconds)
    phase = np.cumsum(np.broadcast_to(hertz, (count,)) / RATE)
    sound = sum(np.cos(2 * np.pi * k * phase) / (1 + ((k * np.mean(hertz) - 600) / 200) ** 2) for k in range(1, 12))
    return (0.1 * np.asarray(sound)).astype(np.float32)


@pytest.mark.parametrize("hertz", [75.0, 110.0, 160.0, 220.0, 330.0])
def test_the_pitch_of_a_vowel_is_found(hertz: float) -> None:
    tracker = PitchTracker()
    pitch = np.concatenate((tracker.push(voice(hertz)), tracker.finish()))
    assert np.median(pitch[10:-10]) == pytest.approx(hertz, rel=0.02)
    assert np.mean(np.abs(pitch[10:-10] / hertz - 1) < 0.05) > 0.98


def test_a_gliding_pitch_is_followed() -> None:
    glide = np.linspace(100, 200, RATE)
    pitch = PitchTracker().push(voice(glide))
    assert np.abs(pitch[10:90] - glide[np.arange(10, 90) * HOP]).max() < 12


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.mean(PitchTracker().push(noise) > 0) < 0.05
    assert not PitchTracker().push(np.zeros(RATE, np.float32)).any()


def test_quiet_and_short_voices_count_as_none() -> None:
    pitch = np.full(10, 100, np.float32)
    loudness = np.array([0, 0, 0, -60, 0, 0, -60, 0, 0, 0], np.float32)
    assert voiced_only(pitch, loudness).astype(bool).tolist() == [True] * 3 + [False] * 4 + [True] * 3


def test_levels_are_relative_to_full_scale() -> None:
    tone = np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE).astype(np.float32)
    assert levels(windows_of(tone))[10:-10] == pytest.approx(-3.01, abs=0.1)
    assert levels(windows_of(np.zeros(RATE, np.float32))) == pytest.approx(SILENT)


def test_parts_of_a_sound_give_the_windows_of_the_whole() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, RATE + 77).astype(np.float32)
    cutter = FrameCutter()
    parts = [cutter.push(part) for part in np.array_split(sound, 37)] + [cutter.finish()]
    assert np.array_equal(np.concatenate(parts)[: len(windows_of(sound))], windows_of(sound))


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    peaks = [
        log_mel(windows_of(np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)))[50].argmax()
        for hertz in (200, 500, 1000, 2000, 4000, 7000)
    ]
    assert peaks == sorted(set(peaks))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_frequency_at_every_rate(rate: int) -> None:
    sound = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    resampler = Resampler(rate)
    out = np.concatenate([resampler.push(part) for part in np.array_split(sound, 61)])
    assert abs(len(out) - RATE) < RATE * 0.005
    expected = np.sin(2 * np.pi * 440 * np.arange(len(out)) / RATE)
    assert np.abs(out - expected)[200:].max() < 0.02


def test_what_a_lower_rate_cannot_carry_is_removed() -> None:
    sound = np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(Resampler(48_000).push(sound))[100:].max() < 0.01


@pytest.mark.parametrize("rate", [0, -1, 100, 1e9, float("nan")])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(HeadsplatError, match=r"samples per second, expected 4000 to 768000; choose another rate"):
        Resampler(rate)
