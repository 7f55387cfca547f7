"""How English words are said: the dictionary that comes with pocketsphinx, and rules for the words that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from avatar.errors import HeadsplatError
from avatar.performance.speech.phones import PHONES

Pronunciations = list[tuple[str, ...]]

_DICTIONARY = "en-us/cmudict-en-us.dict"
#: Most pronunciations of a word that are tried.
_MOST = 4
#: Letters to phones, the longest first; `-` marks the end of a word. A small set after the regularities of English
#: spelling (Venezky, The Structure of English Orthography, 1970).
_RULES = {
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "eigh": "EY", "augh": "AO", "igh": "AY",
    "tch": "CH", "dge": "JH", "sch": "S K", "ing-": "IH NG", "ed-": "D", "es-": "Z", "le-": "AH L", "er-": "ER",
    "or-": "ER", "y-": "IY", "e-": "", "ie-": "IY", "ey-": "IY", "ous-": "AH S", "age-": "IH JH", "kn": "N",
    "wr": "R", "wh": "W", "ph": "F", "gh": "G", "ch": "CH", "sh": "SH", "th": "TH", "ck": "K", "ng": "NG",
    "qu": "K W", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "oa": "OW", "oi": "OY", "oy": "OY",
    "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ei": "EY", "ew": "UW", "ue": "UW", "ui": "UW", "ar": "AA R",
    "er": "ER", "ir": "ER", "ur": "ER", "or": "AO R", "ce": "S EH", "ci": "S IH", "cy": "S AY", "ge": "JH EH",
    "gi": "JH IH", "bb": "B", "cc": "K", "dd": "D", "ff": "F", "gg": "G", "kk": "K", "ll": "L", "mm": "M", "mb-": "M",
    "nn": "N", "pp": "P", "rr": "R", "ss": "S", "tt": "T", "zz": "Z", "a": "AE", "b": "B", "c": "K", "d": "D",
    "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA",
    "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "Y", "z": "Z",
    "'": "",
}  # fmt: skip
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_LETTERS = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH", "i": "AY",
    "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY", "q": "K Y UW",
    "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S",
    "y": "W AY", "z": "Z IY",
}  # fmt: skip


def pronounced(words: Iterable[str]) -> tuple[dict[str, Pronunciations], list[str]]:
    """Pronunciations of words, and the words among them that were guessed from their letters.

    Raises:
        HeadsplatError: pocketsphinx, which brings the dictionary, is not installed.
    """
    wanted = dict.fromkeys(words)
    parts = {part for word in wanted for part in (word, *_pieces(word))}
    known = _looked_up(parts)
    found: dict[str, Pronunciations] = {}
    guessed = []
    for word in wanted:
        if word in known:
            found[word] = known[word]
        elif (pieces := _pieces(word)) and pieces[0] in known:
            found[word] = [(*start, *_ending(start, pieces[1])) for start in known[pieces[0]]]
        else:
            found[word] = [guessed_pronunciation(word)]
            guessed.append(word)
    return found, guessed


def _pieces(word: str) -> tuple[str, str] | tuple[()]:
    """Word and ending of a possessive or plural."""
    match = re.fullmatch(r"(.{2,}?)('s|s'|s|')", word)
    return (match[1], match[2]) if match else ()


def _ending(start: tuple[str, ...], ending: str) -> tuple[str, ...]:
    if ending == "'":
        return ()
    if start[-1] in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return ("IH", "Z")
    return ("S",) if start[-1] in ("P", "T", "K", "F", "TH") else ("Z",)


def _looked_up(words: set[str]) -> dict[str, Pronunciations]:
    """Entries of the dictionary, in its order."""
    found: dict[str, Pronunciations] = {}
    with open(_dictionary(), encoding="utf-8") as file:
        for line in file:
            entry, _, phones = line.partition(" ")
            word = entry.partition("(")[0]
            if word in words and len(found.setdefault(word, [])) < _MOST:
                pronunciation = tuple(phones.split())
                if set(pronunciation) <= set(PHONES):
                    found[word].append(pronunciation)
    return {word: pronunciations for word, pronunciations in found.items() if pronunciations}


def _dictionary() -> Path:
    try:
        import pocketsphinx
    except ImportError as error:
        raise HeadsplatError(
            "phones of a text need the dictionary of pocketsphinx; install it with: pip install 'headsplat[speech]', "
            "or leave the text out"
        ) from error
    path = Path(pocketsphinx.get_model_path(_DICTIONARY))
    if not path.is_file():
        raise HeadsplatError(
            f"{path}: the dictionary of pocketsphinx is missing; install it again with: pip install --force-reinstall "
            "pocketsphinx"
        )
    return path


def guessed_pronunciation(word: str) -> tuple[str, ...]:
    """Phones of a word by the rules of its letters; without a vowel, the names of its letters."""
    letters = re.sub("[^a-z']", "", word)
    if not re.search("[aeiouy]", letters):
        return tuple(" ".join(_LETTERS[letter] for letter in letters if letter in _LETTERS).split())
    marked = letters + "-"
    at = 0
    phones: list[str] = []
    while at < len(letters):
        if re.match(r"[aeiou][bcdfgklmnpstvz]e-", marked[at:]):  # a magic e
            phones.append(_LONG[marked[at]])
            at += 1
            continue
        rule = next(marked[at : at + n] for n in range(5, 0, -1) if marked[at : at + n] in _RULES)
        phones += _RULES[rule].split()
        at += len(rule.rstrip("-"))
    if phones[:1] == ["IY"] and letters[0] == "y":
        phones[0] = "Y"
    return tuple(phones or _LETTERS[letters[0]].split())
