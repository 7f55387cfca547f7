"""Acting of a face whose voice arrives in pieces: it idles, nods on accents, breathes, and nods to what it hears."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.idling import Idling
from avatar.performance.speech.live import LiveFrame, LiveListener
from avatar.performance.speech.phones import FRAME_RATE, PHONES, VOWELS
from avatar.performance.speech.pulses import minimum_jerk

Floats = NDArray[np.float32]

_VOWEL = np.array([name in VOWELS for name in PHONES])
#: An accent is a vowel that is so loud, dB relative to loud speech, so many seconds after the last one.
_ACCENT = -3.0
_APART = 0.45
#: Probabilities of a nod and of raised brows with it, their sizes, and seconds in which they rise, stay and fall; as
#: in `acting`.
_NOD = 0.5, (1.0, 2.4), (0.17, 0.0, 0.38)
_BROWS = 0.25, (0.12, 0.28), (0.20, 0.04, 0.45)
#: A listener nods in the pause after so many seconds of speech (Ward and Tsukahara 2000: .7 s), which has lasted so
#: long, with this probability, not again within so many seconds; degrees, and how often the head goes down.
_PHRASE = 0.7
_PAUSE = 0.25
_ANSWER = 0.6
_AGAIN = 2.0
_ANSWER_DEGREES = (2.0, 4.0)
_ANSWER_SPANS = (0.2, 0.02, 0.3)
#: Breathing at rest: 15 a minute, degrees of the head and meters that it rises.
_BREATH = 0.25, 0.35, 0.0012
#: Seconds in which the activity of the voice follows.
_ACTIVITY = 0.06
#: Share of the idle motion of the head that remains while the voice speaks: accents come on top.
_VOICE = 0.7


class _Pulses:
    """Minimum-jerk pulses that begin one after another."""

    def __init__(self) -> None:
        self._pulses: list[tuple[float, tuple[float, float, float], float]] = []

    def add(self, start: float, spans: tuple[float, float, float], size: float) -> None:
        """A pulse that starts at a time, with the seconds of its rise, top and fall."""
        self._pulses.append((start, spans, size))

    def at(self, moment: float) -> float:
        """Their sum; what has ended is forgotten."""
        self._pulses = [pulse for pulse in self._pulses if moment < pulse[0] + sum(pulse[1])]
        value = 0.0
        for start, (rise, stay, fall), size in self._pulses:
            up, down = minimum_jerk(np.array([(moment - start) / rise, (moment - start - rise - stay) / fall]))
            value += size * float(up) * (1 - float(down))
        return value


class StreamActing:
    """All of a face but its mouth."""

    def __init__(self, seed: int, amount: float) -> None:
        """Args: seed of the random motion; its size, 0: none."""
        self._idling = Idling(seed)
        self._amount = amount
        self._own, self._other = (np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(2))
        self._nods, self._brows = _Pulses(), _Pulses()
        self._speaks = 0.0
        self._last_accent = self._last_answer = -math.inf
        self._ears: tuple[float, LiveListener] | None = None
        self._phrase = self._pause = 0.0  # seconds that the other side has spoken, and been silent
        self._keep = math.exp(-1 / FRAME_RATE / _ACTIVITY)

    def listen(self, frame: LiveFrame, moment: float) -> float:
        """Hear a hundredth of a second of the own voice; how much it speaks, 0..1.

        Args:
            frame: what is heard.
            moment: its time, seconds of the stream.
        """
        self._speaks = self._keep * self._speaks + (1 - self._keep) * (1 - frame.silence)
        is_vowel = float(frame.probabilities[_VOWEL].sum()) > 0.5
        if is_vowel and frame.loudness > _ACCENT and moment - self._last_accent > _APART:
            self._last_accent = moment
            for pulses, (chance, sizes, spans) in ((self._nods, _NOD), (self._brows, _BROWS)):
                happens, size = self._own.random() < chance, self._own.uniform(*sizes)
                if happens:
                    pulses.add(moment, spans, size)
        return self._speaks

    def hear(self, samples: NDArray[np.floating] | NDArray[np.int16], rate: float, moment: float) -> None:
        """Hear the other side; `moment` is the present one, seconds of the stream."""
        if self._ears is None or self._ears[0] != rate:
            self._ears = rate, LiveListener(rate)
        for frame in self._ears[1].push(samples):
            if frame.silence < 0.5:
                self._phrase = self._phrase + 1 / FRAME_RATE if self._pause < _PAUSE else 0.0
                self._pause = 0.0
                continue
            self._pause += 1 / FRAME_RATE
            if self._pause >= _PAUSE and self._phrase >= _PHRASE:
                self._phrase = 0.0
                self._answer(moment)

    def _answer(self, moment: float) -> None:
        happens, size = self._other.random() < _ANSWER, self._other.uniform(*_ANSWER_DEGREES)
        twice = self._other.random() < 0.5
        if not happens or moment - self._last_answer < _AGAIN:
            return
        self._last_answer = moment
        self._nods.add(moment, _ANSWER_SPANS, size)
        if twice:
            self._nods.add(moment + 0.8 * sum(_ANSWER_SPANS), _ANSWER_SPANS, 0.6 * size)

    def at(self, moment: float, speaks: float) -> tuple[Floats, Floats, Floats]:
        """Weights [52], rotation [3] in radians and translation [3] in meters of the head at a time.

        Args:
            moment: seconds of the stream, not before the last one asked for.
            speaks: 0..1, how much the voice speaks.
        """
        weights = np.zeros(len(ARKIT_52), np.float32)
        head = np.zeros(3, np.float32)
        translation = np.zeros(3, np.float32)
        nod, raised = self._nods.at(moment), self._brows.at(moment)
        if self._amount == 0:
            return weights, head, translation
        columns, values, rotation = self._idling.at(moment)
        weights[columns] = values
        head += rotation * np.float32(self._amount * (1 - (1 - _VOICE) * speaks))
        for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
            weights[ARKIT_52.index(name)] += self._amount * raised
        rate, degrees, meters = _BREATH
        breath = 0.5 - 0.5 * math.cos(2 * math.pi * rate * moment)
        head[0] += math.radians(self._amount * (nod - degrees * breath))
        translation[1] = self._amount * meters * breath
        return weights, head, translation
