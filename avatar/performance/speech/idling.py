"""Idling: blinks, gaze and small head motion of a face of which only the voice is known, for any length of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.acting import Acting, acted
from avatar.performance.speech.phones import Phone, Speech
from avatar.performance.speech.style import SpeakingStyle

Floats = NDArray[np.float32]

#: Seconds after which it repeats, of the blend at the seam, and frames per second.
_LENGTH = 240.0
_SEAM = 2.0
_RATE = 60
#: Factor of gaze and head: without a known voice there are no accents.
_AMOUNT = 0.8


class Idling:
    """A loop of acting that does not follow the voice."""

    def __init__(self, seed: int = 0) -> None:
        """Args: seed: of the random motion."""
        seconds = _LENGTH + _SEAM
        nothing = np.zeros(0, np.float32)
        speech = Speech(seconds, (Phone("AH", 0, seconds),), (), nothing, nothing)
        times = np.arange(round(seconds * _RATE)) / _RATE
        performance = acted(speech, times, Acting(seed, _AMOUNT, SpeakingStyle()))
        names = [name for name, values in performance.weights.items() if values.any()]
        self._columns = np.array([ARKIT_52.index(name) for name in names])
        rows = np.stack([performance.weights[name] for name in names] + list(performance.head.T), 1)
        seam = round(_SEAM * _RATE)
        length = round(_LENGTH * _RATE)
        part = np.linspace(0, 1, seam)[:, None]
        rows[:seam] = (1 - part) * rows[length : length + seam] + part * rows[:seam]
        self._rows = rows[:length].astype(np.float32)

    def at(self, seconds: float) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Columns [n] of ARKIT_52 and their weights [n], and the head's rotation [3] in radians, at a time."""
        row = self._rows[round(seconds * _RATE) % len(self._rows)]
        return self._columns, row[:-3], row[-3:]
