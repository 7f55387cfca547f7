"""A text and its sound: the graph of the words, and the times of phones and words on the path through it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.errors import HeadsplatError
from avatar.performance.speech.acoustic import acoustic_model
from avatar.performance.speech.decoding import SHORTEST, Graph, Run, text_graph
from avatar.performance.speech.phones import FRAME_RATE, PHONES, SILENCE, Phone, Word
from avatar.performance.speech.pronunciation import Pronunciations, pronounced
from avatar.performance.speech.runs import phones_of_runs
from avatar.performance.speech.text import spoken_words

#: Mean probability of the phones and pauses of a text in its sound: 0.44 to 0.75 for the right text of voices that the
#: model has not heard, 0.17 to 0.37 for another text. Below the first it is refused, below the second noted.
_MISFIT = 0.2
_DOUBTFUL = 0.4
#: The same of the phones alone, which another text squeezes into little time: 0.35 to 0.75, and 0.09 to 0.3.
_MISFIT_PHONES = 0.12
_DOUBTFUL_PHONES = 0.3


@dataclass(frozen=True)
class TextPath:
    """A text that is ready to be found in a sound."""

    words: tuple[str, ...]
    pronunciations: tuple[Pronunciations, ...]
    guessed: tuple[str, ...]  # words that the dictionary lacks
    graph: Graph
    places: list[tuple[int, int]]  # word and position of each owner of the graph

    @property
    def shortest(self) -> int:
        """Frames that saying the text takes at least."""
        return SHORTEST * sum(min(map(len, one)) for one in self.pronunciations)


def text_path(text: str) -> TextPath:
    """The graph of a text.

    Raises:
        HeadsplatError: no words, or no dictionary.
    """
    words = spoken_words(text)
    found, guessed = pronounced(words)
    pronunciations = [found[word] for word in words]
    graph, places = text_graph(pronunciations, acoustic_model())
    return TextPath(tuple(words), tuple(pronunciations), tuple(guessed), graph, places)


def check_fit(path: Path, text: TextPath, frames: int) -> None:
    """Raise HeadsplatError if a text cannot be said in `frames` frames."""
    if text.shortest > frames:
        raise HeadsplatError(
            f"{path}: the text has {len(text.words)} words, too many for {frames / 100:.1f} s of sound; "
            "give the text of this sound only, or leave it out"
        )


def aligned(
    path: Path, text: TextPath, runs: list[Run], seconds: float
) -> tuple[tuple[Phone, ...], tuple[Word, ...], tuple[str, ...]]:
    """Phones that cover the sound, words, and notes, from a path through the graph of a text.

    Raises:
        HeadsplatError: the text is not that of the sound.
    """
    silence = PHONES.index(SILENCE)
    spoken = [run for run in runs if run.phone != silence]
    fit = _mean_confidence(runs)
    fit_of_phones = _mean_confidence(spoken)
    reached = {text.places[run.owner][0] for run in spoken}
    if len(reached) < len(text.words) or fit < _MISFIT or fit_of_phones < _MISFIT_PHONES:
        raise HeadsplatError(
            f"{path}: the text does not fit the sound (it starts with {' '.join(text.words[:4])!r}); "
            "give what is said in it, or leave the text out"
        )
    notes = []
    if text.guessed:
        shown = ", ".join(text.guessed[:8]) + (f" and {len(text.guessed) - 8} more" if len(text.guessed) > 8 else "")
        notes.append(f"The dictionary lacks these words, whose sounds were guessed from their letters: {shown}.")
    if fit < _DOUBTFUL or fit_of_phones < _DOUBTFUL_PHONES:
        notes.append("The text fits the sound poorly; its times are uncertain.")
    return phones_of_runs(runs, seconds), _words(text, spoken, seconds), tuple(notes)


def _mean_confidence(runs: list[Run]) -> float:
    frames = np.array([run.end - run.start for run in runs])
    return float((frames * [run.confidence for run in runs]).sum() / max(frames.sum(), 1))


def _words(text: TextPath, spoken: list[Run], seconds: float) -> tuple[Word, ...]:
    runs_of: dict[int, list[Run]] = {}
    for run in spoken:
        runs_of.setdefault(text.places[run.owner][0], []).append(run)
    return tuple(
        Word(word, _second(runs_of[index][0].start, seconds), _second(runs_of[index][-1].end, seconds))
        for index, word in enumerate(text.words)
    )


def _second(frame: int, seconds: float) -> float:
    return min(max((frame - 0.5) / FRAME_RATE, 0.0), seconds)
