"""Phones with the times of closed lips, from the starts that a synthesizer states and the waveform that it made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import BILABIALS, SILENCE, Phone

#: Longest closure that is taken from a silence before a burst, s; in a longer silence nobody knows when the lips met.
LONGEST_CLOSURE = 0.12
_HOP = 0.0025  # s between two energies


def phones_of(
    samples: NDArray[np.float32], rate: int, starts: list[tuple[float, str, int]], *, at_burst: bool = True
) -> list[Phone]:
    """Phones that cover a sound; edges of closures are where the sound falls and rises the most.

    Args:
        samples: [n].
        rate: samples per second.
        starts: seconds, ARPABET name and stress of each phone.
        at_burst: a stop is stated at its burst (eSpeak), and not where its closure starts (Flite).
    """
    seconds = len(samples) / rate
    if not starts or starts[0][0] > 0:
        starts = [(0.0, SILENCE, 0), *starts]
    edges = [time for time, _, _ in starts] + [seconds]
    level = _levels(samples, rate)
    names = [name for _, name, _ in starts]
    index = 0
    while index < len(names):
        last = index
        while last + 1 < len(names) and names[index] in BILABIALS and names[last + 1] in BILABIALS:
            last += 1
        if names[index] in BILABIALS:
            _place(level, edges, names, index, last, at_burst)
        index = last + 1
    phones = [Phone(n, edges[i], edges[i + 1], stress) for i, (_, n, stress) in enumerate(starts)]
    return _merge_silences([phone for phone in phones if phone.end > phone.start])


def _place(
    level: NDArray[np.float64], edges: list[float], names: list[str], first: int, last: int, at_burst: bool
) -> None:
    """Set the edges of a run of bilabials, `names[first : last + 1]`, to where the lips meet and part."""
    stop, after = edges[last], edges[last + 1]
    released = last + 1 == len(names) or names[last + 1] == SILENCE
    if released and names[last] == "M":
        end = after
    elif at_burst:
        lowest = stop - 0.01 if names[last] == "P" else stop + 0.01
        end = _steepest(level, max(lowest, 0.0), min(after + 0.01, stop + 0.1), 1)
    else:
        end = _steepest(level, max(stop + 0.02, after - (0.03 if names[last] == "M" else 0.06)), after + 0.02, 1)
    earliest = edges[first] - (LONGEST_CLOSURE if at_burst else 0.02)
    latest = min(edges[first] + (0.01 if at_burst else 0.02 if names[first] == "M" else 0.04), end - 0.02)
    if first == 0 or (names[first] == "M" and at_burst):
        start = edges[first]
    elif names[first - 1] == SILENCE:
        start = max(edges[first - 1], min(edges[first], end - 0.08)) if at_burst else max(edges[first], end - 0.1)
    else:
        start = _steepest(level, max(earliest, edges[first - 1] + 0.02), latest, -1)
    start = min(start, end - 0.02)
    inner = np.linspace(start, end, last - first + 2)
    for k, value in enumerate(inner):
        edges[first + k] = float(value)
    for k in range(first - 1, 0, -1):  # a start before is never later
        edges[k] = min(edges[k], edges[k + 1])
    for k in range(last + 2, len(edges)):
        edges[k] = max(edges[k], edges[k - 1])


def _levels(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Level in dB every _HOP of the sound without its low frequencies, which voicing lets through closed lips."""
    sharp = np.diff(samples.astype(np.float64), prepend=0.0) ** 2
    total = np.concatenate(([0.0], np.cumsum(sharp)))
    centers = (np.arange(int(len(samples) / rate / _HOP) + 1) * _HOP * rate).astype(int)
    half = int(0.005 * rate)
    low, high = np.clip(centers - half, 0, len(samples)), np.clip(centers + half, 0, len(samples))
    return 10 * np.log10((total[high] - total[low]) / (2 * half) + 1e-7)


def _steepest(level: NDArray[np.float64], start: float, end: float, sign: int) -> float:
    """Second within start..end at which the level rises (sign 1) or falls (-1) the most."""
    first, last = int(np.ceil(start / _HOP)), max(int(end / _HOP), int(np.ceil(start / _HOP)))
    padded = np.pad(level, (6, 6), mode="edge")
    at = np.arange(first, min(last, len(level) - 1) + 1)
    if not len(at):
        return start
    before = np.mean([padded[at + 6 - k] for k in range(2, 6)], axis=0)
    behind = np.mean([padded[at + 6 + k] for k in range(2, 6)], axis=0)
    return float(at[np.argmax(sign * (behind - before))] * _HOP)


def _merge_silences(phones: list[Phone]) -> list[Phone]:
    """Phones with neighboring silences made one."""
    merged: list[Phone] = []
    for phone in phones:
        if merged and phone.name == SILENCE and merged[-1].name == SILENCE:
            merged[-1] = Phone(SILENCE, merged[-1].start, phone.end)
        else:
            merged.append(phone)
    return merged
