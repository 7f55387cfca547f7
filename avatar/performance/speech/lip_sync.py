"""Lip sync: how well the opening of a mouth over time follows a sound, and how late it is.

The opening that the sound asks for comes from its loudness and, better, from its phones; the offset is the shift at
which both correlate best. Chung and Zisserman (2016, "Out of time") measure it the same way with learned features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.evaluation.report import LipSyncRow
from avatar.performance.speech.phones import BILABIALS, FRAME_RATE, SILENCE, Speech

Floats = NDArray[np.float64]

#: Seconds by which lips are shifted against the sound at most, and the step.
LARGEST_OFFSET = 0.4
OFFSET_STEP = 0.01
#: Frames with speech that a correlation needs.
LEAST_FRAMES = 25
#: dB below the loudest speech that count as silence.
_SILENT = 40.0
#: A mouth counts as shut below this fraction of the range between its 5 % and 95 % quantiles.
_SHUT = 0.25
#: Seconds before and after the middle of a closure in which the mouth must be shut once: one frame at 30 fps.
_WITHIN = 1 / 30


def measure_lip_sync(times: Floats, opening: Floats, speech: Speech, expected: Floats) -> LipSyncRow | None:
    """Compare the opening of a mouth with what the sound asks for.

    Args:
        times: [T] seconds from the start of the sound, increasing.
        opening: [T] of the mouth, any unit; nan where it was not seen.
        speech: what is said in the sound.
        expected: [n] opening that the phones ask for, any unit, FRAME_RATE per second.

    Returns:
        None where fewer than LEAST_FRAMES frames have speech, or nothing moves.
    """
    seen = np.isfinite(opening)
    times = times[seen]
    opening = opening[seen]
    spoken = _near_speech(times, speech)
    if spoken.sum() < LEAST_FRAMES or np.ptp(opening[spoken]) <= 0 or np.ptp(expected) <= 0:
        return None
    lags = np.arange(-LARGEST_OFFSET, LARGEST_OFFSET + OFFSET_STEP / 2, OFFSET_STEP)
    by_phones = _correlations(times, opening, expected, lags, spoken)
    by_loudness = _correlations(times, opening, loudness_opening(speech), lags, spoken)
    best = int(by_phones.argmax())
    middles = [(phone.start + phone.end) / 2 for phone in speech.phones if phone.name in BILABIALS]
    middles = [middle for middle in middles if times[0] <= middle <= times[-1]]
    return LipSyncRow(
        frames=int(spoken.sum()),
        offset_ms=1000 * (lags[best] + OFFSET_STEP * _peak(by_phones, best)),
        correlation=float(by_phones[best]),
        correlation_in_place=float(by_phones[len(lags) // 2]),
        correlation_loudness=float(by_loudness.max()),
        closures=len(middles),
        closed=_closed(times, opening, middles),
    )


def loudness_opening(speech: Speech) -> Floats:
    """Loudness [n] of speech as an opening 0..1, FRAME_RATE per second: 0 in silence, 1 at the loudest."""
    return np.asarray((speech.loudness.astype(np.float64) + _SILENT).clip(0) / _SILENT)


def _near_speech(times: Floats, speech: Speech) -> NDArray[np.bool_]:
    """Mask [T] of the times within LARGEST_OFFSET of a phone that is not silence."""
    spoken = [phone for phone in speech.phones if phone.name != SILENCE]
    starts = np.array([phone.start - LARGEST_OFFSET for phone in spoken])
    ends = np.array([phone.end + LARGEST_OFFSET for phone in spoken])
    return np.asarray(np.searchsorted(starts, times, side="right") > np.searchsorted(ends, times, side="left"))


def _correlations(times: Floats, opening: Floats, expected: Floats, lags: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Pearson correlation [L] of the opening at `times` with what the sound asked for `lags` [L] seconds before."""
    clock = np.arange(len(expected)) / FRAME_RATE
    centered = opening[chosen] - opening[chosen].mean()
    asked = np.stack([np.interp(times[chosen] - lag, clock, expected) for lag in lags])
    asked -= asked.mean(1, keepdims=True)
    size = np.linalg.norm(asked, axis=1) * np.linalg.norm(centered)
    return np.asarray(asked @ centered / np.maximum(size, 1e-12))


def _peak(values: Floats, best: int) -> float:
    """Where the parabola through the values around `best` has its maximum, in steps from `best`."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, here, after = values[best - 1 : best + 2]
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float((before - after) / (2 * bend))


def _closed(times: Floats, opening: Floats, middles: Sequence[float]) -> float:
    """Fraction of the `middles` of closures (seconds) within a frame of which the mouth is shut."""
    if not middles:
        return float("nan")
    low, high = np.quantile(opening, [0.05, 0.95])
    shut = times[opening <= low + _SHUT * (high - low)]
    reach = max(_WITHIN, float(np.median(np.diff(times)))) + 1e-6
    return float(np.mean([bool((np.abs(shut - middle) <= reach).any()) for middle in middles]))
