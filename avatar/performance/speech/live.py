"""Phones of a sound while it is heard, a microphone's for example: their probabilities, 100 times per second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.acoustic import LOOKAHEAD, AcousticStream
from avatar.performance.speech.features import RATE, WINDOW, FrameCutter, log_mel
from avatar.performance.speech.listen import REFERENCE
from avatar.performance.speech.phones import BILABIALS, FRAME_RATE, PHONES, SILENCE
from avatar.performance.speech.resampling import Resampler
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
        windows = self._cutter.push(self._resampler.push(_mono(samples)))
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


def _mono(samples: NDArray[np.floating] | NDArray[np.int16]) -> Floats:
    """Samples [n] of -1..1, the channels mixed; what is not finite is silence."""
    scale = 1 / 32768 if samples.dtype == np.int16 else 1.0
    mixed = samples.astype(np.float32) * np.float32(scale)
    mixed = mixed.mean(axis=1) if mixed.ndim == 2 else mixed
    return np.nan_to_num(mixed, nan=0.0, posinf=1.0, neginf=-1.0).clip(-4, 4)
