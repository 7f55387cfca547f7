"""Vowels made of formants, and the spectra that a browser's AnalyserNode has of them."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

RATE = 48000
WINDOW = 2048
#: First three formants of a man and of a woman, hertz (Peterson and Barney, 1952; o: Hillenbrand et al., 1995).
FORMANTS = {
    "a": ((730, 1090, 2440), (850, 1220, 2810)),
    "i": ((270, 2290, 3010), (310, 2790, 3310)),
    "u": ((300, 870, 2240), (370, 950, 2670)),
    "o": ((497, 910, 2459), (555, 1035, 2828)),
}
PITCH = (110.0, 220.0)
_UPPER = (3500, 4500)
_WIDTHS = (80, 90, 120, 150, 200)
_TILT = 0.985


def vowel(name: str, voice: int = 0, seconds: float = 1.0, level: float = -20.0) -> np.ndarray:
    """[N] samples of a vowel at `RATE`: pulses of the glottis through one resonator a formant (Klatt, 1980).

    Args:
        name: of `FORMANTS`.
        voice: 0 of a man, 1 of a woman.
        level: of its root mean square, decibels of full scale.
    """
    sound = np.zeros(int(RATE * seconds))
    sound[np.arange(0, len(sound), RATE / PITCH[voice]).astype(int)] = 1
    sound = np.diff(lfilter([1], [1, -2 * _TILT, _TILT**2], sound), prepend=0)
    for center, width in zip((*FORMANTS[name][voice], *_UPPER), _WIDTHS, strict=True):
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * center / RATE), radius**2]
        sound = lfilter([sum(poles)], poles, sound)
    return np.asarray(10 ** (level / 20) * sound / np.sqrt((sound**2).mean()))


def noise(seconds: float = 1.0, level: float = -60.0, seed: int = 0) -> np.ndarray:
    """[N] samples of white noise at `RATE`, of a level as that of `vowel`."""
    return np.asarray(10 ** (level / 20) * np.random.default_rng(seed).standard_normal(int(RATE * seconds)))


def spectra(sound: np.ndarray, frames: float = 60.0) -> np.ndarray:
    """[F, WINDOW/2] decibels at each frame of a page, as the Web Audio specification defines for AnalyserNode."""
    starts = np.arange(0, len(sound) - WINDOW, RATE / frames).astype(int)
    parts = sound[starts[:, None] + np.arange(WINDOW)]
    magnitudes = np.abs(np.fft.rfft(parts * np.blackman(WINDOW))[:, :-1]) / WINDOW
    return np.asarray(20 * np.log10(np.maximum(magnitudes, 1e-12)))
