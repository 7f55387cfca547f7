"""Loudness and pitch of a sound, 100 values per second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.features import HOP, RATE, WINDOW

Floats = NDArray[np.float32]

#: Lowest level that is told from silence, dB relative to full scale.
SILENT = -90.0
#: Pitch that is looked for, Hz.
LOWEST = 60.0
HIGHEST = 420.0
_DECIMATION = 2
_WIDTH = 800  # samples of a window for pitch, 50 ms: three periods of the lowest pitch
_VOICED = 0.55  # least normalized autocorrelation of a voice
_QUIET = -35.0  # dB relative to the loudest: quieter frames have no pitch
#: Cost of a low candidate for each octave (Boersma 1993), and of one far from the median of its surroundings.
_OCTAVE_COST = 0.05
_JUMP_COST = 0.12


def levels(windows: Floats) -> Floats:
    """Levels [n] in dB relative to full scale of windows [n,WINDOW]."""
    power = np.einsum("nw,nw->n", windows, windows) / WINDOW
    return (10 * np.log10(power + 10 ** (SILENT / 10))).astype(np.float32)


class PitchTracker:
    """Pitch of a sound that arrives in parts: the normalized autocorrelation's best peak.

    P. Boersma, Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
    sound, IFA Proceedings 17, 1993; instead of his path over all frames, candidates near the median of the block are
    preferred.
    """

    def __init__(self) -> None:
        self._rest = np.zeros(_WIDTH // 2, np.float32)
        taper = np.hanning(_WIDTH // _DECIMATION + 2)[1:-1]
        self._taper = taper.astype(np.float32)
        self._lags = np.arange(int(RATE / _DECIMATION / HIGHEST), int(RATE / _DECIMATION / LOWEST) + 2)
        self._size = 1024
        own = np.fft.irfft(np.abs(np.fft.rfft(taper, self._size)) ** 2)
        self._own = (own / own[0])[self._lags]
        self._median = float("nan")

    def push(self, samples: Floats) -> Floats:
        """Pitch in Hz, 0 where unvoiced, of the frames [n] that are complete with the next samples [m]."""
        heard = np.concatenate((self._rest, samples))
        count = max(0, (len(heard) - _WIDTH) // HOP + 1)
        if not count:
            self._rest = heard
            return np.zeros(0, np.float32)
        self._rest = heard[count * HOP :]
        windows = np.lib.stride_tricks.sliding_window_view(heard, _WIDTH)[: count * HOP : HOP]
        return self._pitch(windows.reshape(count, -1, _DECIMATION).mean(axis=2))

    def finish(self) -> Floats:
        """Pitch of the last frames."""
        return self.push(np.zeros(_WIDTH // 2, np.float32))

    def _pitch(self, windows: Floats) -> Floats:
        centered = (windows - windows.mean(axis=1, keepdims=True)) * self._taper
        power = np.abs(np.fft.rfft(centered, self._size, axis=1)) ** 2
        correlation = np.fft.irfft(power, axis=1)
        strength = correlation[:, self._lags] / self._own / (correlation[:, :1] + 1e-6)
        peak = np.zeros(strength.shape, bool)
        peak[:, 1:-1] = (strength[:, 1:-1] >= strength[:, :-2]) & (strength[:, 1:-1] > strength[:, 2:])
        octaves = np.log2(RATE / _DECIMATION / self._lags / LOWEST)
        scores = np.where(peak, strength + _OCTAVE_COST * octaves, -1.0)
        first = scores.argmax(axis=1)
        sure = strength[np.arange(len(first)), first] > 0.8
        if sure.any():
            median = float(np.median(octaves[first[sure]]))
            self._median = median if np.isnan(self._median) else 0.7 * self._median + 0.3 * median
        if not np.isnan(self._median):
            scores = scores - _JUMP_COST * (octaves - self._median) ** 2
        best = scores.argmax(axis=1)
        rows = np.arange(len(best))
        left = strength[rows, np.clip(best + -1, 0, len(self._lags) - 1)]
        middle = strength[rows, np.clip(best + 0, 0, len(self._lags) - 1)]
        right = strength[rows, np.clip(best + 1, 0, len(self._lags) - 1)]
        bend = left - 2 * middle + right
        shift = np.where(np.abs(bend) > 1e-9, 0.5 * (left - right) / np.where(np.abs(bend) > 1e-9, bend, 1), 0.0)
        hertz = RATE / _DECIMATION / (self._lags[best] + np.clip(shift, -0.5, 0.5))
        return np.where((middle > _VOICED) & peak[rows, best], hertz, 0.0).astype(np.float32)


def voiced_only(pitch: Floats, loudness: Floats) -> Floats:
    """Pitch [n] without that of quiet frames and without voices shorter than three frames."""
    voiced = (pitch > 0) & (loudness > _QUIET)
    changes = np.flatnonzero(np.diff(np.concatenate(([False], voiced, [False])).astype(int)))
    for start, end in zip(changes[::2], changes[1::2], strict=True):
        if end - start < 3:
            voiced[start:end] = False
    return np.where(voiced, pitch, 0).astype(np.float32)
