"""Speech records written by hand, for tests that need no sound."""

from __future__ import annotations

from functools import cache

import numpy as np
from torch import Tensor

from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.motion.lip_gap import LipGap
from avatar.performance.speech.phones import FRAME_RATE, SILENCE, VOWELS, Phone, Speech
from avatar.types import Motion

#: Seconds of a phone where nothing else is stated.
LENGTH = 0.09
SENTENCE = "SIL:.3 M AA1 M AH P IY1 P AH L SIL:.2 F AY1 V S UW1 Z SH UW1 T W IY1 B OW1 T S IY SIL:.4"


def scripted(text: str, length: float = LENGTH) -> Speech:
    """Speech of phones such as "M AA1 SIL:.4": a digit is the stress, a number after a colon the seconds."""
    phones, time = [], 0.0
    for word in text.split():
        name, _, seconds = word.partition(":")
        stress = int(name[-1]) if name[-1].isdigit() else 0
        end = time + (float(seconds) if seconds else length)
        phones.append(Phone(name.rstrip("012"), time, end, stress))
        time = end
    count = round(time * FRAME_RATE)
    loudness, pitch = np.full(count, -60, np.float32), np.zeros(count, np.float32)
    for phone in phones:
        span = slice(round(phone.start * FRAME_RATE), round(phone.end * FRAME_RATE))
        loudness[span] = -60 if phone.name == SILENCE else -4 if phone.name in VOWELS else -12
        pitch[span] = (140 if phone.stress == 1 else 110) if phone.name in VOWELS else 0
    return Speech(time, tuple(phones), (), loudness, pitch)


def lip_gap(motion: Motion) -> np.ndarray:
    """The lip gap [T] in millimeters of a motion in ARKit's expressions on the embedded head."""
    at_rest, opening = _embedded_gap()
    return 1e3 * (at_rest + motion.weights @ opening).numpy()


@cache
def _embedded_gap() -> tuple[Tensor, Tensor]:
    """Meters at rest, and [52] meters that a weight of 1 of each of ARKIT_52 adds."""
    head = load_head()
    gap = LipGap.of(head)
    assert gap is not None
    return gap.at_rest, gap.opening[[head.expression_index(name) for name in ARKIT_52]]


def at_middle(motion: Motion, phone: Phone) -> int:
    """The number of the frame nearest to the middle of a phone."""
    return int(np.abs(motion.time.numpy() - (phone.start + phone.end) / 2).argmin())


def weight(motion: Motion, name: str) -> np.ndarray:
    """The weights [T] of one expression."""
    return motion.weights[:, motion.names.index(name)].numpy()


def lip_gap_of(weights: np.ndarray) -> float:
    """The lip gap in millimeters for ARKit weights [52] on the embedded head."""
    at_rest, opening = _embedded_gap()
    return 1e3 * float(at_rest + opening.double().numpy() @ weights)
