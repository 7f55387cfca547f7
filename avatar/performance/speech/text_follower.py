"""A known text followed in a sound while it is heard: the forward algorithm (Rabiner 1989) over the graph of its words.

Where the path finder (`decoding`) knows the whole sound, this knows only what was heard so far, so that a stream loses
no time: each frame's probabilities become those of the phones that the text can have there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.acoustic import acoustic_model
from avatar.performance.speech.decoding import PRIOR, Graph, text_graph
from avatar.performance.speech.phones import FRAME_RATE, PHONES
from avatar.performance.speech.pronunciation import Pronunciations, pronounced
from avatar.performance.speech.text import spoken_words

Floats = NDArray[np.float32]

#: Mean probability of the text's phones in the sound, below which it is not trusted, and above which it is fully: the
#: right text of unknown voices has 0.44 to 0.75, another one 0.17 to 0.37 (`alignment`).
_TRUST = 0.3, 0.42
#: Seconds over which it is averaged.
_AVERAGE = 0.6
#: Least probability of a state: less is none.
_FLOOR = 1e-30


class TextFollower:
    """Follows one text; words may be added while it is heard."""

    def __init__(self) -> None:
        self._words: list[Pronunciations] = []
        self._graph: Graph | None = None
        self._states = np.zeros(0)
        self._prior = np.exp(-PRIOR * acoustic_model().log_share).astype(np.float64)
        self._fit = sum(_TRUST) / 2
        self._keep = float(np.exp(-1 / FRAME_RATE / _AVERAGE))

    def add(self, text: str) -> None:
        """Append words.

        Raises:
            HeadsplatError: the text has no words, or the dictionary is not installed.
        """
        words = spoken_words(text)
        found, _ = pronounced(words)
        self._words += [found[word] for word in words]
        self._graph, _ = text_graph(self._words, acoustic_model())
        states = np.zeros(len(self._graph.phones))
        states[: len(self._states)] = self._states  # what was there before keeps its numbers
        self._states = states
        known = self._graph.previous >= 0
        self._enter = np.where(known, np.exp(self._graph.entering.astype(np.float64)), 0.0)
        self._stay = np.exp(self._graph.staying.astype(np.float64))

    def update(self, probabilities: Floats) -> Floats:
        """The next frame.

        Args:
            probabilities: [P] of each of PHONES, as heard; the sum is 1.

        Returns:
            [P] with the text; as heard where the text does not fit.
        """
        graph = self._graph
        if graph is None:
            return probabilities
        states = self._states
        if not states.any():
            arrived = np.zeros(len(states))
            arrived[graph.start] = 1.0
        else:
            arrived = (states[graph.previous] * self._enter).sum(1) + states * self._stay
        arrived *= (probabilities * self._prior)[graph.phones]
        total = arrived.sum()
        if total > 0:
            self._states = np.where(arrived > _FLOOR * total, arrived / total, 0.0)
        expected = np.bincount(graph.phones, self._states, len(PHONES))
        self._fit = self._keep * self._fit + (1 - self._keep) * float(expected @ probabilities)
        low, high = _TRUST
        trust = min(max((self._fit - low) / (high - low), 0.0), 1.0)
        mixed = trust * expected + (1 - trust) * probabilities
        return (mixed / max(mixed.sum(), 1e-9)).astype(np.float32)
