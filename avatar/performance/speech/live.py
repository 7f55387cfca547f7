"""Phones of a sound while it is heard, a microphone's for example: their probabilities, 100 times per second.

Change of the sample rate of a sound that arrives in parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.performance.speech.acoustic import LOOKAHEAD, AcousticStream
from avatar.performance.speech.features import RATE, WINDOW, FrameCutter, log_mel
from avatar.performance.speech.listen import REFERENCE
from avatar.performance.speech.phones import BILABIALS, FRAME_RATE, PHONES, SILENCE
from avatar.performance.speech.tracks import SILENT, levels

Floats = NDArray[np.float32]

#: Seconds between a sound and the frame that tells its phone: what the network hears ahead, and half a window.
LATENCY = LOOKAHEAD / FRAME_RATE + WINDOW / 2 / RATE
#: Level of loud speech that is assumed at first, dB relative to full scale, and decay of the measured one, dB/s.
_FIRST_LOUD = -30.0
_DECAY = 1.5
#: Quieter sounds are not amplified to speech, dB relative to full scale.
_LEAST_LOUD = -50.0
_BILABIAL = np.array([name in BILABIALS for name in PHONES])


_LOWEST = 4_000  # samples per second that are accepted
_HIGHEST = 768_000
_PHASES = 256
_CROSSINGS = 8  # zero crossings of the sinc on each side


class Resampler:
    """From any rate to another by a windowed sinc (J. O. Smith, Digital Audio Resampling, 1984)."""

    def __init__(self, rate: float, to: float = RATE) -> None:
        """Args: samples per second of what will be pushed, and of the output.

        Raises:
            HeadsplatError: a rate that no sound card has.
        """
        if not _LOWEST <= rate <= _HIGHEST:
            raise HeadsplatError(
                f"the sound has {rate:g} samples per second, expected {_LOWEST} to {_HIGHEST}; choose another rate"
            )
        self._step = rate / to
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


@dataclass(frozen=True)
class LiveFrame:
    """One hundredth of a second of a sound."""

    time: float  # seconds from the first sample pushed
    probabilities: Floats  # [P] of each of PHONES; the sum is 1
    loudness: float  # dB relative to loud speech so far

    @property
    def phone(self) -> str:
        """The likeliest phone."""
        return PHONES[int(self.probabilities.argmax())]

    @property
    def closed(self) -> float:
        """Probability that the lips are shut for m, b or p."""
        return float(self.probabilities[_BILABIAL].sum())

    @property
    def silence(self) -> float:
        """Probability that nobody speaks."""
        return float(self.probabilities[PHONES.index(SILENCE)])


class LiveListener:
    """Hears a sound in parts of any size; each frame comes LATENCY seconds after its sound."""

    def __init__(self, rate: float) -> None:
        """Args: rate: samples per second of what will be pushed.

        Raises:
            HeadsplatError: a rate that no sound card has, or a damaged installation.
        """
        self._resampler = Resampler(rate)
        self._cutter = FrameCutter()
        self._stream = AcousticStream()
        self._loud = _FIRST_LOUD
        self._levels: list[float] = []  # of frames whose phones are not known yet
        self._next = -LOOKAHEAD  # frame that the network tells next

    @property
    def latency(self) -> float:
        """Seconds from a sound to its frame."""
        return LATENCY

    def push(self, samples: NDArray[np.floating] | NDArray[np.int16]) -> list[LiveFrame]:
        """Hear more.

        Args:
            samples: [n] of -1..1, or 16-bit integers, or [n,channels] of them.

        Returns:
            the frames that are known now.
        """
        windows = self._cutter.push(self._resampler.push(mono(samples)))
        return self._frames(windows)

    def finish(self) -> list[LiveFrame]:
        """The last frames of a sound that has ended."""
        return self._frames(self._cutter.finish()) + self._told(self._stream.finish())

    def _frames(self, windows: Floats) -> list[LiveFrame]:
        if not len(windows):
            return []
        gains = np.empty(len(windows), np.float32)
        for index, level in enumerate(levels(windows)):
            self._loud = max(self._loud - _DECAY / FRAME_RATE, float(level), _LEAST_LOUD)
            self._levels.append(max(float(level) - self._loud, SILENT))
            gains[index] = 10 ** ((REFERENCE - self._loud) / 20)
        return self._told(self._stream.push(log_mel(windows * gains[:, None])))

    def _told(self, log_probabilities: Floats) -> list[LiveFrame]:
        frames = []
        for row in np.exp(log_probabilities):
            if self._next >= 0:
                frames.append(LiveFrame(self._next / FRAME_RATE, row, self._levels.pop(0)))
            self._next += 1
        return frames


def mono(samples: NDArray[np.floating] | NDArray[np.int16]) -> Floats:
    """Samples [n] of -1..1, the channels mixed; what is not finite is silence."""
    scale = 1 / 32768 if samples.dtype == np.int16 else 1.0
    mixed = samples.astype(np.float32) * np.float32(scale)
    mixed = mixed.mean(axis=1) if mixed.ndim == 2 else mixed
    return np.nan_to_num(mixed, nan=0.0, posinf=1.0, neginf=-1.0).clip(-4, 4)
