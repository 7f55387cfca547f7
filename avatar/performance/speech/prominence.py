"""Prominence: the accented syllables of speech, and when somebody speaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.performance.speech.gestures import Array, mean_between
from avatar.performance.speech.phones import SILENCE, VOWELS, Speech

#: Weights of stress, loudness and pitch in the prominence of a vowel (Terken 1991: pitch first; Kochanski, Grabe,
#: Coleman, Rosner 2005: loudness first; both here).
_STRESS = 0.5
_LOUDNESS = 0.5
_PITCH = 0.5
#: Seconds between two accents, and the prominence, in standard deviations, from which a vowel is one.
_APART = 0.45
_LEAST = 0.3
#: Seconds that smooth speech activity.
_ACTIVITY = 0.25


@dataclass(frozen=True)
class Accent:
    """An accented syllable."""

    time: float  # seconds, of the middle of its vowel
    strength: float  # 0..1


def accents(speech: Speech) -> list[Accent]:
    """The accented syllables: vowels that are stressed, loud or high, the strongest first within a short time."""
    vowels = [phone for phone in speech.phones if phone.name in VOWELS]
    if not vowels:
        return []
    score = _STRESS * np.array([1.0 if phone.stress == 1 else 0.0 for phone in vowels])
    score = score + _LOUDNESS * _normalized([mean_between(speech.loudness, p.start, p.end) for p in vowels])
    pitch = np.array([mean_between(speech.pitch, p.start, p.end, voiced=True) for p in vowels])
    score = score + _PITCH * _normalized(np.log2(np.maximum(pitch, 1.0)))
    score = _normalized(score)
    middles = np.array([(phone.start + phone.end) / 2 for phone in vowels])
    free = score >= _LEAST
    found: list[Accent] = []
    for row in np.argsort(-score, kind="stable"):
        if free[row]:
            found.append(Accent(float(middles[row]), float(np.clip(0.4 + 0.3 * score[row], 0, 1))))
            free[slice(*np.searchsorted(middles, (middles[row] - _APART, middles[row] + _APART)))] = False
    return sorted(found, key=lambda mark: mark.time)


def speaking_at(speech: Speech, times: Array) -> Array:
    """Speech activity [T], 0..1, smooth, at `times` [T] seconds: 1 within phrases, 0 in long pauses."""
    edges = [(phone.start, phone.end) for phone in speech.phones if phone.name == SILENCE and phone.end > phone.start]
    silent = np.zeros(len(times))
    for start, end in edges:
        length = end - start
        if length > 2 * _ACTIVITY:
            near = slice(*np.searchsorted(times, (start, end)))
            edge = np.minimum(times[near] - start, end - times[near]) / _ACTIVITY
            x = edge.clip(0, 1)
            silent[near] = x * x * (3 - 2 * x)
    return 1 - silent


def _normalized(values: list[float] | Array) -> Array:
    """Values in standard deviations from their mean; 0 for NaN."""
    found = np.asarray(values, np.float64)
    known = found[np.isfinite(found)]
    if not len(known) or known.std() < 1e-9:
        return np.zeros(len(found))
    return np.nan_to_num((found - known.mean()) / known.std())
