"""Speech with known phones by eSpeak NG (tools/weights/espeak.py), or a skipped test where its library is missing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar.performance.speech.phones import Phone
from tools.weights import espeak


def synthesize(
    text: str, voice: str = "en-us", speed: int = 160, pitch: int = 50
) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """What `tools.weights.espeak.synthesize` returns for the same arguments."""
    pytest.importorskip("espeakng_loader", reason="needs espeakng-loader, which the extra dev installs")
    return espeak.synthesize(text, voice, speed, pitch)
