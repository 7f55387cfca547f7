"""The front end of the acoustic model: logarithms of mel band energies, 100 per second."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import FRAME_RATE

#: Samples per second of all sound that is listened to.
RATE = 16_000
HOP = RATE // FRAME_RATE  # samples between two frames
WINDOW = 400  # samples of one frame, centered on its time
_FFT = 512
BANDS = 40
_LOWEST = 60.0  # Hz
_HIGHEST = 7600.0
_FLOOR = 1e-7  # band energy; keeps the logarithm of silence finite: about 80 dB under loud speech


def log_mel(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel band energies of windows of sound.

    Args:
        windows: [n,WINDOW] samples in -1..1; frame k of a sound is centered on sample k * HOP.

    Returns:
        [n,BANDS] natural logarithms of energies.
    """
    taper, bands = _tables()
    spectrum = np.fft.rfft(windows * taper, _FFT, axis=1)
    energy = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.log(energy @ bands + _FLOOR).astype(np.float32)


class FrameCutter:
    """Cuts a sound that arrives in parts into the windows of `log_mel`."""

    def __init__(self) -> None:
        self._rest = np.zeros(WINDOW // 2, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The windows [n,WINDOW] that are complete with the next samples [m]."""
        heard = np.concatenate((self._rest, samples))
        count = max(0, (len(heard) - WINDOW) // HOP + 1)
        if not count:
            self._rest = heard
            return np.zeros((0, WINDOW), np.float32)
        self._rest = heard[count * HOP :]
        return np.lib.stride_tricks.sliding_window_view(heard, WINDOW)[: count * HOP : HOP]

    def finish(self) -> NDArray[np.float32]:
        """The last windows, up to that centered on the last sample of the sound or the one before it."""
        return self.push(np.zeros(WINDOW // 2, np.float32))


@cache
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The taper [WINDOW], and triangular bands [_FFT // 2 + 1, BANDS], even in mel (O'Shaughnessy, 1987)."""
    taper = np.hanning(WINDOW + 1)[:-1]
    taper /= np.sqrt((taper**2).sum())
    lowest = 2595 * np.log10(1 + _LOWEST / 700)
    highest = 2595 * np.log10(1 + _HIGHEST / 700)
    corners = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    frequencies = np.arange(_FFT // 2 + 1) * RATE / _FFT
    rising = (frequencies[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies[:, None]) / (corners[2:] - corners[1:-1])
    bands = np.clip(np.minimum(rising, falling), 0, None)
    return taper.astype(np.float32), bands.astype(np.float32)
