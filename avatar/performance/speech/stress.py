"""Which vowels are stressed, heard from loudness, length and pitch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import FRAME_RATE, VOWELS, Phone, Word

Floats = NDArray[np.float32]

#: Words that are hardly ever stressed in a sentence.
_WEAK = {
    "a", "am", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for",
    "from", "had", "has", "have", "he", "her", "him", "his", "i", "if", "in", "is", "it", "its", "may", "me", "might",
    "must", "my", "no", "nor", "not", "of", "on", "or", "our", "s", "shall", "she", "should", "so", "than", "that",
    "the", "their", "them", "then", "there", "they", "this", "to", "us", "was", "we", "were", "will", "with", "would",
    "you", "your",
}  # fmt: skip
#: What one standard deviation of each counts: loudness, length, pitch (Fry 1958 found length and pitch to matter most).
_LOUDNESS = 0.8
_LENGTH = 1.0
_PITCH = 1.0
_PRIMARY = 0.9
_SECONDARY = 0.2
_AROUND = 1.5  # s on each side with which a vowel is compared


def stressed(phones: tuple[Phone, ...], words: tuple[Word, ...], loudness: Floats, pitch: Floats) -> tuple[Phone, ...]:
    """Phones with `stress` set: 1 on vowels that stand out from those around and lead their word, 2 on lesser ones.

    Args:
        phones: of a whole sound.
        words: with times; empty without a text.
        loudness: [n] dB, FRAME_RATE per second.
        pitch: [n] Hz, 0 where unvoiced.
    """
    vowels = [index for index, phone in enumerate(phones) if phone.name in VOWELS]
    if not vowels:
        return phones
    scores = _prominence([phones[index] for index in vowels], loudness, pitch)
    times = np.array([(phones[index].start + phones[index].end) / 2 for index in vowels])
    best = _leaders(times, scores, words)
    found = list(phones)
    for k, index in enumerate(vowels):
        stress = 1 if best[k] and scores[k] > _PRIMARY else 2 if best[k] and scores[k] > _SECONDARY else 0
        found[index] = replace(phones[index], stress=stress)
    return tuple(found)


def _prominence(vowels: list[Phone], loudness: Floats, pitch: Floats) -> NDArray[np.float64]:
    """How much each vowel stands out from those around it, standard deviations."""
    values = np.zeros((len(vowels), 3))
    for k, vowel in enumerate(vowels):
        low = min(int(vowel.start * FRAME_RATE), len(loudness) - 1)
        high = max(low + 1, int(vowel.end * FRAME_RATE))
        voiced = pitch[low:high][pitch[low:high] > 0]
        values[k] = (
            float(loudness[low:high].max()),
            float(np.log(vowel.end - vowel.start)),
            float(np.log2(voiced.max())) if len(voiced) else np.nan,
        )
    times = np.array([(vowel.start + vowel.end) / 2 for vowel in vowels])
    scores = np.zeros(len(vowels))
    for k, time in enumerate(times):
        first, last = np.searchsorted(times, (time - _AROUND, time + _AROUND))
        near = values[first:last]
        for column, (weight, least) in enumerate(((_LOUDNESS, 2.0), (_LENGTH, 0.25), (_PITCH, 0.08))):
            known = near[:, column][~np.isnan(near[:, column])]
            if len(known) > 1 and not np.isnan(values[k, column]):
                scores[k] += weight * (values[k, column] - known.mean()) / max(float(known.std()), least)
    return scores


def _leaders(times: NDArray[np.float64], scores: NDArray[np.float64], words: tuple[Word, ...]) -> NDArray[np.bool_]:
    """Which vowels are the strongest of their word, or without words of their neighbors, and may be stressed."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    if not words:
        return (scores >= padded[:-2]) & (scores >= padded[2:])
    owners = np.searchsorted([word.start for word in words], times, side="right") - 1
    strongest = np.full(len(words) + 1, -np.inf)  # the last one is of vowels before the first word
    np.maximum.at(strongest, owners, scores)
    weak = np.array([word.text in _WEAK for word in words] + [True])
    return (scores >= strongest[owners]) & ~weak[owners]
