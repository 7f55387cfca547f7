"""Text to a face by matching of phrases: "slightly surprised and sad", "wink left", "big smile, no frown"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from avatar.common.jsonable import shortened
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError
from avatar.performance.facs.table import LEFT, RIGHT, FacsTable

Floats = NDArray[np.float64]

MAX_TEXT = 2000
#: Fillers and sides inside a phrase.
_INSIDE = 3
#: Intensity of an emotion or a unit without an adverb.
PLAIN = 0.8
_NEGATIONS = frozenset({"no", "not", "without", "never", "don't", "dont", "isn't", "isnt"})
_SIDES: Mapping[str, int] = {"left": LEFT, "right": RIGHT}
_BREAKS = frozenset({"and", "but", "with", "while", "then", "plus", "also", ",", ";", ".", "+", "/", "&"})
_FILLERS = frozenset((
    "a", "an", "the", "your", "his", "her", "their", "my", "our", "its", "is", "are", "be", "being", "looking", "look",
    "looks", "seem", "seems", "feel", "feeling", "person", "face", "expression", "please", "make", "show", "i", "you",
    "he", "she", "they", "it", "of", "on", "at", "to", "side", "eye", "in",
))  # fmt: skip
_SPELLINGS: Mapping[str, str] = {
    "eyebrow": "brows", "eyebrows": "brows", "brow": "brows", "raising": "raise", "raises": "raise", "lifted": "raised",
    "lift": "raise", "smiles": "smile", "winks": "wink", "opened": "open", "opens": "open", "corner": "corners",
    "widely": "wide", "eyelids": "lids", "cheek": "cheeks", "mouths": "mouth",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class PhraseFace:
    """A face made of a text."""

    units: Floats  # [U,2] intensities of the left and the right side
    understood: tuple[str, ...]  # what was recognized, one entry for each phrase


@dataclass
class _Modifiers:
    """What precedes a phrase."""

    factor: float | None = None
    side: int | None = None
    negated: bool = False


@dataclass(frozen=True, eq=False)
class PhraseReader:
    """Makes faces of texts with the words of a table."""

    table: FacsTable

    def __call__(self, text: str) -> PhraseFace:
        """The face of a text; several phrases add up, of one unit the strongest counts, negated ones are removed.

        Raises:
            HeadsplatError: an empty text, a text without a known phrase, or an unknown word, with the words that are
                closest.
        """
        if not text.strip():
            raise HeadsplatError(f"the text is empty; write a phrase such as {self._examples}")
        if len(text) > MAX_TEXT:
            raise HeadsplatError(f"the text has {len(text)} characters; write at most {MAX_TEXT}")
        face = np.zeros((len(self.table.units), 2))
        removed = np.zeros((len(self.table.units), 2), bool)
        understood: list[str] = []
        for clause in _clauses(text):
            for phrase, modifiers in self._found(clause, text):
                shape, words = self._shaped(phrase, modifiers)
                if modifiers.negated:
                    removed |= shape > 0
                else:
                    face = np.maximum(face, shape)
                understood.append(words)
        if not understood:
            raise HeadsplatError(f"{_quoted(text)} names no expression; write a phrase such as {self._examples}")
        return PhraseFace(np.where(removed, 0.0, face), tuple(understood))

    def known(self) -> list[str]:
        """All phrases."""
        return sorted(self._faces)

    @property
    def _examples(self) -> str:
        emotions = ", ".join(emotion.words[0] for emotion in self.table.emotions if emotion.words)
        return f'"slightly surprised and sad" or "wink left" (emotions: {emotions})'

    @cached_property
    def _faces(self) -> dict[str, Floats]:
        """Phrase -> intensities [U,2]; phrases of the table come before the words of emotions and units."""
        found: dict[str, Floats] = {}
        for row, unit in enumerate(self.table.units):
            face = np.zeros((len(self.table.units), 2))
            face[row] = 1.0
            found |= dict.fromkeys((unit.key.lower(), unit.name, *unit.words), face)
        for emotion in self.table.emotions:
            found |= dict.fromkeys((emotion.name, *emotion.words), emotion.faces[0])
        found |= self.table.phrases
        return {" ".join(_words(phrase)): face for phrase, face in found.items()}

    @cached_property
    def _adverbs(self) -> dict[str, float]:
        return {" ".join(_words(adverb)): factor for adverb, factor in self.table.adverbs.items()}

    @cached_property
    def _longest(self) -> int:
        return max(len(phrase.split()) for phrase in (*self._faces, *self._adverbs))

    def _found(self, words: list[str], text: str) -> list[tuple[str, _Modifiers]]:
        """The phrases of a clause with their modifiers; those after the last phrase belong to it."""
        found: list[tuple[str, _Modifiers]] = []
        modifiers = _Modifiers()
        at = 0
        while at < len(words):
            for end in range(min(at + self._longest + _INSIDE, len(words)), at, -1):
                phrase, side = self._phrase(words[at:end])
                if phrase:
                    modifiers.side = side if modifiers.side is None else modifiers.side
                    found.append((phrase, modifiers))
                    modifiers = _Modifiers()
                elif not self._modified(" ".join(words[at:end]), modifiers):
                    continue
                at = end
                break
            else:
                if words[at] not in _FILLERS:
                    raise self._unknown(words[at], text)
                at += 1
        if found:
            last = found[-1][1]
            last.factor = modifiers.factor if last.factor is None else last.factor
            last.side = modifiers.side if last.side is None else last.side
            last.negated |= modifiers.negated
        return found

    def _phrase(self, words: list[str]) -> tuple[str, int | None]:
        """The phrase that `words` are, without fillers and a side inside it ("raise your left brow"); or nothing."""
        whole = " ".join(words)
        if whole in self._faces:
            return whole, None
        outer = {words[0], words[-1]}
        if outer & (_FILLERS | _SIDES.keys()):
            return "", None
        inside = [_SIDES[word] for word in words if word in _SIDES]
        bare = " ".join(word for word in words if word not in _FILLERS and word not in _SIDES)
        return (bare, inside[0] if inside else None) if bare in self._faces else ("", None)

    def _modified(self, phrase: str, modifiers: _Modifiers) -> bool:
        """Whether `phrase` is a modifier, which is then noted."""
        if phrase in self._adverbs:
            factor = self._adverbs[phrase]
            # "a very slight smile": the weaker of two adverbs limits.
            modifiers.factor = factor if modifiers.factor is None else min(modifiers.factor, factor)
        elif phrase in _SIDES:
            modifiers.side = _SIDES[phrase]
        elif phrase in _NEGATIONS:
            modifiers.negated = True
        else:
            return False
        return True

    def _shaped(self, phrase: str, modifiers: _Modifiers) -> tuple[Floats, str]:
        """The face [U,2] of a phrase with its modifiers, and a description."""
        face = self._faces[phrase]
        side = modifiers.side
        if side is None and "wink" in phrase:
            side = RIGHT
        if side is not None:
            sided = np.array([unit.sided for unit in self.table.units])
            face = np.where(sided[:, None] & (np.arange(2) != side), 0.0, face)
        factor = (1.0 if "wink" in phrase else PLAIN) if modifiers.factor is None else modifiers.factor
        words = [phrase, *([] if side is None else [("left", "right")[side]])]
        described = f"no {' '.join(words)}" if modifiers.negated else f"{' '.join(words)} {factor:g}"
        return np.minimum(face * factor, 1.0), described

    def _unknown(self, word: str, text: str) -> HeadsplatError:
        singles = {part for phrase in (*self._faces, *self._adverbs) for part in phrase.split()}
        near = difflib.get_close_matches(word, sorted(singles - _FILLERS), 3, 0.7)
        hint = f"did you mean {' or '.join(near)}?" if near else f"write a phrase such as {self._examples}"
        return HeadsplatError(f"{_quoted(text)}: the word {_quoted(word)} is not known; {hint}")


def face_of_text(text: str, table: FacsTable | None = None) -> PhraseFace:
    """The face of a text such as "slightly surprised"; raises HeadsplatError for words that are not known."""
    return PhraseReader(table or FacsTable.load())(text)


def _quoted(text: str) -> str:
    return f'"{shortened(single_line(text), 60)}"'


def _words(text: str) -> list[str]:
    return [_SPELLINGS.get(word, word) for word in re.findall(r"[^\W_]+(?:'[^\W_]+)*|[,;.+/&]", text.lower())]


def _clauses(text: str) -> Iterator[list[str]]:
    clause: list[str] = []
    for word in _words(text.replace("-", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")):
        if word in _BREAKS:
            yield clause
            clause = []
        else:
            clause.append(word)
    yield clause
