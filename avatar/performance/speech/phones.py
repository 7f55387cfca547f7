"""Records of recognized speech: phones and words with times, loudness and pitch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: ARPABET, the 39 phones of the CMU Pronouncing Dictionary without stress, and SILENCE.
SILENCE = "SIL"
VOWELS = (
    "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW",
)  # fmt: skip
CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y",
    "Z", "ZH",
)  # fmt: skip
PHONES = (SILENCE, *VOWELS, *CONSONANTS)
#: Both lips close for these.
BILABIALS = ("B", "M", "P")
#: Loudness and pitch have this many values per second.
FRAME_RATE = 100


@dataclass(frozen=True)
class Phone:
    """One phone."""

    name: str  # of PHONES
    start: float  # seconds
    end: float  # seconds
    stress: int = 0  # of a vowel: 0 none, 1 primary, 2 secondary
    confidence: float = 1.0  # 0..1, of the recognizer


@dataclass(frozen=True)
class Word:
    """One word of the text."""

    text: str
    start: float  # seconds
    end: float  # seconds


@dataclass(frozen=True)
class Speech:
    """What is said in a sound, and when; phones are in order, do not overlap, and cover the sound with SILENCE."""

    seconds: float
    phones: tuple[Phone, ...]
    words: tuple[Word, ...]  # empty without a text
    loudness: NDArray[np.float32]  # [n] dB relative to the loudest speech of the sound (0), FRAME_RATE per second
    pitch: NDArray[np.float32]  # [n] Hz, 0 where unvoiced, FRAME_RATE per second
    notes: tuple[str, ...] = ()  # remarks for the user, one sentence each
