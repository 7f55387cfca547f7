"""Change of the sample rate of a sound that arrives in parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.performance.speech.features import RATE

Floats = NDArray[np.float32]

_LOWEST = 4_000  # samples per second that are accepted
_HIGHEST = 768_000
_PHASES = 256
_CROSSINGS = 8  # zero crossings of the sinc on each side


class Resampler:
    """From any rate to RATE by a windowed sinc (J. O. Smith, Digital Audio Resampling, 1984)."""

    def __init__(self, rate: float) -> None:
        """Args: rate: samples per second of what will be pushed.

        Raises:
            HeadsplatError: a rate that no sound card has.
        """
        if not _LOWEST <= rate <= _HIGHEST:
            raise HeadsplatError(
                f"the sound has {rate:g} samples per second, expected {_LOWEST} to {_HIGHEST}; choose another rate"
            )
        self._step = rate / RATE
        cutoff = min(1.0, 1 / self._step)
        self._half = int(np.ceil(_CROSSINGS / cutoff))
        offsets = np.arange(1 - self._half, self._half + 1)[None] - np.arange(_PHASES)[:, None] / _PHASES
        window = 0.5 + 0.5 * np.cos(np.pi * np.clip(offsets / self._half, -1, 1))
        table = cutoff * np.sinc(cutoff * offsets) * window
        self._table = (table / table.sum(axis=1, keepdims=True)).astype(np.float32)
        self._rest = np.zeros(self._half - 1, np.float32)
        self._position = 0.0  # of the next output, samples after self._rest[self._half - 1]

    def push(self, samples: Floats) -> Floats:
        """The output [m] that is known with the next samples [n]; it lags by less than 2 ms."""
        if self._step == 1.0:
            return samples
        heard = np.concatenate((self._rest, samples))
        available = len(heard) - 2 * self._half + 1  # positions below it have all neighbors
        count = max(0, int(np.ceil((available - self._position) / self._step)))
        positions = self._position + self._step * np.arange(count)
        whole = positions.astype(int)
        taps = self._table[((positions - whole) * _PHASES).astype(int)]
        neighbors = heard[whole[:, None] + np.arange(2 * self._half)]
        used = int(self._position + self._step * count) if count else 0
        used = min(used, len(heard) - 2 * self._half + 1) if used else 0
        self._position += self._step * count - used
        self._rest = heard[used:]
        return np.einsum("nk,nk->n", taps, neighbors).astype(np.float32)
