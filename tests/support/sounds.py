"""Sound files, and what the acoustic model hears in a whole sound."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.acoustic import LOOKAHEAD, AcousticModel, AcousticStream


def write_wav(path: Path, samples: NDArray[np.floating], rate: int, bits: int = 16) -> Path:
    """Write samples [n] or [n,channels] of -1..1 as a .wav of 8, 16 or 32 bits; returns the path."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    scaled = np.clip(samples.astype(np.float64), -1, 1)
    data = {
        8: lambda: (scaled * 127 + 128).astype(np.uint8),
        16: lambda: (scaled * 32767).astype("<i2"),
        32: lambda: (scaled * (2**31 - 1)).astype("<i4"),
    }[bits]()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(data.tobytes())
    return path


def log_probabilities(features: np.ndarray, model: AcousticModel | None = None) -> np.ndarray:
    """Logarithms [n,P] of the probability of each phone in every frame of a whole sound, features [n,BANDS]."""
    stream = AcousticStream(model)
    return np.concatenate((stream.push(features), stream.finish()))[LOOKAHEAD:]
