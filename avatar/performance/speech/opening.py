"""How far the mouth opens for the phones of a speech, from the height of vowels: a yardstick, not an animation.

Openings are relative: 1 for the most open vowel. Vowels are graded by their height in the chart of the International
Phonetic Alphabet (open, near-open, ..., close); consonants by whether lips, teeth or only the tongue narrow the mouth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import FRAME_RATE, SILENCE, Speech

#: Seconds of the window that joins neighbors, full width at half maximum: lips take about so long from phone to phone.
SMOOTHING = 0.08
_FULL_WIDTH = 2.3548
_GRADES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (1.0, ("AA", "AE", "AW", "AY")),
    (0.8, ("AO", "AH", "EH", "OY")),
    (0.6, ("EY", "OW", "ER")),
    (0.45, ("IH", "UH", "IY")),
    (0.3, ("UW", "HH", "K", "G", "NG", "L", "R", "Y", "DH", "TH", "N", "T", "D")),
    (0.2, ("W", "S", "Z", "SH", "ZH", "CH", "JH")),
    (0.1, ("F", "V")),
    (0.0, ("B", "P", "M", SILENCE)),
)
OPENINGS: dict[str, float] = {name: grade for grade, names in _GRADES for name in names}


def opening_of(speech: Speech) -> NDArray[np.float64]:
    """Relative opening [n] of the mouth for the phones of `speech`, 0..1, FRAME_RATE per second, smoothed."""
    count = max(round(speech.seconds * FRAME_RATE), 1)
    asked = np.zeros(count)
    for phone in speech.phones:
        asked[round(phone.start * FRAME_RATE) : round(phone.end * FRAME_RATE)] = OPENINGS[phone.name]
    sigma = SMOOTHING * FRAME_RATE / _FULL_WIDTH
    reach = int(3 * sigma) + 1
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(asked, reach, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")
