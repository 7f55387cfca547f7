"""Sound as 16-bit little-endian samples, as programs send it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pcm16(sound: NDArray[np.floating]) -> bytes:
    """Sound [n] of -1..1 as 16-bit little-endian samples."""
    return (sound * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()


def samples16(data: bytes | memoryview, channels: int) -> NDArray[np.int16]:
    """Samples [n,channels] of 16-bit little-endian sound."""
    return np.frombuffer(data, "<i2").reshape(-1, channels)
