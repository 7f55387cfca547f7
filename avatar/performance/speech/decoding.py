"""The most likely path of phones through the probabilities of a sound (Viterbi), for sounds of any length.

Only states near the best one are kept, and what lies LAG frames back is final, so memory does not grow with the sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.acoustic import AcousticModel
from avatar.performance.speech.phones import BILABIALS, PHONES, SILENCE

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

#: Frames after which the path is final, 30 s.
LAG = 3000
#: States whose score lies further below the best one are left, natural logarithm.
_BEAM = 1500.0
#: Frames that a phone lasts at least.
SHORTEST = 2
#: How much the scores are relative to how common a phone is: 0 prefers common phones, 1 does not.
PRIOR = 0.6
#: Weight of how phones follow each other, which the random words of the training tell little about.
_LANGUAGE = 0.35
_IMPOSSIBLE = np.float32(-1e30)


@dataclass(frozen=True)
class Graph:
    """States with a phone each, and from where each is reached; a state is always reached from itself too."""

    phones: Integers  # [S] index into PHONES
    owners: Integers  # [S] to which occurrence of a phone a state belongs
    previous: Integers  # [S,K] states; -1 is none
    entering: Floats  # [S,K] logarithms of the probability of coming from there
    staying: Floats  # [S] logarithm of the probability of staying
    start: Integers  # states in which a path may start
    end: Integers  # states in which a path may end
    free: bool = False  # without a text: see `lips_together`


@dataclass(frozen=True)
class Run:
    """Frames `start` to `end` (exclusive) of one occurrence of a phone."""

    owner: int
    phone: int  # index into PHONES
    start: int
    end: int
    confidence: float  # mean probability of the phone in its frames


class PathFinder:
    """Finds the path through a graph while the sound arrives."""

    def __init__(self, graph: Graph, model: AcousticModel) -> None:
        self._graph = graph
        self._prior = PRIOR * model.log_share
        count = len(graph.phones)
        self._scores = np.full(count + 1, _IMPOSSIBLE, np.float32)  # the last one is of no state
        self._low = 0
        self._high = count
        known = graph.previous >= 0
        steps = (np.arange(count)[:, None] - graph.previous)[known]  # how many states further a state is reached
        self._ahead = max(int(steps.max(initial=0)), 0)
        self._behind = max(int(-steps.min(initial=0)), 0)
        self._back: list[tuple[int, NDArray[np.uint8], Floats]] = []
        self._first = 0  # frame of self._back[0]
        self._runs: list[Run] = []

    def push(self, log_probabilities: Floats) -> None:
        """Hear frames [n,P]."""
        for row in lips_together(log_probabilities) if self._graph.free else log_probabilities:
            self._step(row)
            if len(self._back) >= 2 * LAG:
                self._settle()

    def _step(self, row: Floats) -> None:
        graph = self._graph
        scores = self._scores
        emission = row - self._prior
        if not self._first and not self._back:
            scores[graph.start] = 0.0
            choice = np.zeros(len(graph.phones), np.uint8)
            low = 0
            high = len(graph.phones)
            new = scores[:-1].copy()
        else:
            low = max(self._low - self._behind, 0)
            high = min(self._high + self._ahead, len(graph.phones))
            arrivals = scores[graph.previous[low:high]] + graph.entering[low:high]
            best = arrivals.argmax(axis=1)
            entered = np.take_along_axis(arrivals, best[:, None], 1)[:, 0]
            stayed = scores[low:high] + graph.staying[low:high]
            choice = np.where(stayed >= entered, 0, best + 1).astype(np.uint8)
            new = np.maximum(stayed, entered)
        new = np.maximum(new + emission[graph.phones[low:high]], _IMPOSSIBLE)
        new -= new.max()  # keeps the numbers small; the differences decide
        alive = np.flatnonzero(new > -_BEAM)
        scores[self._low : self._high] = _IMPOSSIBLE
        keep = slice(alive[0], alive[-1] + 1)
        self._low = low + int(alive[0])
        self._high = low + int(alive[-1]) + 1
        scores[self._low : self._high] = new[keep]
        self._back.append((self._low, choice[keep], np.exp(row)))

    def _settle(self) -> None:
        """Make the path up to LAG frames back final, and leave the states that another path leads to."""
        count = len(self._back) - LAG
        alive = self._low + np.flatnonzero(self._scores[self._low : self._high] > _IMPOSSIBLE / 2)
        states = alive
        for at in range(len(self._back) - 1, count - 1, -1):
            states = self._earlier(at, states)
        best = int(states[np.argmax(self._scores[alive])])
        self._scores[alive[states != best]] = _IMPOSSIBLE
        self._finalize(best, count)

    def _finalize(self, state: int, count: int) -> None:
        """Append the path that ends in `state` at frame `count - 1` of self._back, and forget these frames."""
        path = [state]
        for at in range(count - 1, 0, -1):
            path.append(int(self._earlier(at, np.array([path[-1]]))[0]))
        for offset, one in enumerate(reversed(path)):
            self._extend(one, self._first + offset, self._back[offset][2])
        self._first += count
        del self._back[:count]

    def _earlier(self, at: int, states: Integers) -> Integers:
        """The states at frame `at - 1` of self._back from which those at `at` were reached."""
        low, choice, _ = self._back[at]
        chosen = choice[states - low].astype(np.int64)
        return np.where(chosen == 0, states, self._graph.previous[states, np.maximum(chosen, 1) - 1])

    def _extend(self, state: int, frame: int, probabilities: Floats) -> None:
        phone = int(self._graph.phones[state])
        owner = int(self._graph.owners[state])
        probability = float(probabilities[phone])
        last = self._runs[-1] if self._runs else None
        entered = not (last and last.owner == owner and last.end == frame)
        if entered or last is None:
            self._runs.append(Run(owner, phone, frame, frame + 1, probability))
        else:
            length = frame - last.start
            mean = (last.confidence * length + probability) / (length + 1)
            self._runs[-1] = Run(owner, phone, last.start, frame + 1, mean)

    def finish(self) -> list[Run]:
        """The runs of the whole path, in order; empty if nothing was heard."""
        if not self._back:
            return self._runs
        ends = self._graph.end[(self._graph.end >= self._low) & (self._graph.end < self._high)]
        if len(ends) and self._scores[ends].max() > _IMPOSSIBLE / 2:
            state = int(ends[np.argmax(self._scores[ends])])
        else:
            state = self._low + int(np.argmax(self._scores[self._low : self._high]))
        self._finalize(state, len(self._back))
        return self._runs


def lips_together(log_probabilities: Floats) -> Floats:
    """Log probabilities [n,P] in which the likeliest of BILABIALS has what all of them have.

    Without a text, whether the lips are shut matters more than for which sound.
    """
    shut = [PHONES.index(name) for name in BILABIALS]
    own = log_probabilities[:, shut]
    pooled = log_probabilities.copy()
    pooled[:, shut] += np.log(np.exp(own).sum(axis=1, keepdims=True)) - own.max(axis=1, keepdims=True)
    return pooled


def free_graph(model: AcousticModel) -> Graph:
    """Any phones in any order, as likely as they follow each other."""
    count = len(PHONES)
    depth = SHORTEST
    states = np.arange(count * depth).reshape(count, depth)
    previous = np.full((count * depth, count), -1)
    entering = np.full((count * depth, count), _IMPOSSIBLE, np.float32)
    leaving = -np.log(np.maximum(model.mean_frames - depth + 1, 1.5))
    previous[states[:, 0]] = states[:, -1][None]
    following = _LANGUAGE * model.log_following + leaving[:, None]
    np.fill_diagonal(following, _IMPOSSIBLE)
    entering[states[:, 0]] = following.T
    for step in range(1, depth):
        previous[states[:, step], 0] = states[:, step - 1]
        entering[states[:, step], 0] = 0.0
    staying = np.full(count * depth, _IMPOSSIBLE, np.float32)
    staying[states[:, -1]] = np.log1p(-np.exp(leaving))
    phones = np.repeat(np.arange(count), depth)
    return Graph(phones, phones, previous, entering, staying, states[:, 0], states[:, -1], free=True)


def text_graph(words: list[list[tuple[str, ...]]], model: AcousticModel) -> tuple[Graph, list[tuple[int, int]]]:
    """Words one after another, each by any of its pronunciations, with silence where the speaker pauses.

    Args:
        words: of each word, its pronunciations in phones.
        model: its durations are used.

    Returns:
        the graph; word and position in the pronunciation of each owner; the word of a silence is -1.
    """
    building = _Building(model)
    exits = [building.add(SILENCE, [], -1, 0)]
    entrances = exits.copy()
    ways = [*exits]
    for index, pronunciations in enumerate(words):
        ends: list[int] = []
        for phones in pronunciations:
            last = ways
            for position, phone in enumerate(phones):
                last = [building.add(phone, last, index, position)]
                if not index and not position:
                    entrances.append(last[0] - SHORTEST + 1)
            ends += last
        ways = [*ends, building.add(SILENCE, ends, -1, 0)]
    entrances[0] = exits[0] - SHORTEST + 1
    return building.graph(entrances, ways), building.places


class _Building:
    """Collects states; `add` returns the last state of a phone."""

    def __init__(self, model: AcousticModel) -> None:
        self._model = model
        self._phones: list[int] = []
        self._owners: list[int] = []
        self._previous: list[list[int]] = []
        self._leaving: list[float] = []
        self.places: list[tuple[int, int]] = []

    def add(self, phone: str, before: list[int], word: int, position: int) -> int:
        index = PHONES.index(phone)
        leaving = -float(np.log(max(self._model.mean_frames[index] - SHORTEST + 1, 1.5)))
        for step in range(SHORTEST):
            self._previous.append(before if step == 0 else [len(self._phones) - 1])
            self._phones.append(index)
            self._owners.append(len(self.places))
            self._leaving.append(leaving if step == SHORTEST - 1 else 0.0)
        self.places.append((word, position))
        return len(self._phones) - 1

    def graph(self, entrances: list[int], ends: list[int]) -> Graph:
        width = max(map(len, self._previous))
        previous = np.full((len(self._phones), width), -1)
        for state, before in enumerate(self._previous):
            previous[state, : len(before)] = before
        leaving = np.array(self._leaving, np.float32)
        entering = np.where(previous >= 0, leaving[previous], _IMPOSSIBLE).astype(np.float32)
        staying = np.full(len(leaving), _IMPOSSIBLE, np.float32)
        lasting = leaving < 0
        staying[lasting] = np.log1p(-np.exp(leaving[lasting]))
        return Graph(
            np.array(self._phones),
            np.array(self._owners),
            previous,
            entering,
            staying,
            np.array(entrances),
            np.array(ends),
        )
