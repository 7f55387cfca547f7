"""Phones as gestures of the mouth: targets with their time span and dominance, by the rules of visemes.toml.

The rules are those of JALI (Edwards, Landreth, Fiume, Singh 2016): duplicate visemes merge; phones of the tongue do not
move the lips, which keep the shape of the neighbors; lip-heavy phones start early and end late; unstressed vowels are
smaller; what lips or teeth must do is a requirement that is met exactly, after coarticulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import FRAME_RATE, SILENCE, VOWELS, Phone, Speech
from avatar.performance.speech.visemes import CONTROLS, Requirement, VisemeTable

Array = NDArray[np.float64]

#: Size of a vowel by its stress (0 none, 1 primary, 2 secondary), where the recognizer knows stress.
_STRESS = (0.9, 1.0, 0.95)
#: Size per dB from the median vowel, its limits, and the same per octave of pitch.
_PER_DECIBEL = 0.025
_LOUDNESS_RANGE = (0.8, 1.15)
_PER_OCTAVE = 0.08
#: The core of a phone, in which its dominance is full, in fractions of its length.
_CORE = (0.2, 0.7)
#: Seconds at both ends of a silence in which the mouth still or already belongs to the phone beside it.
_SILENCE_EDGES = (0.03, 0.07)
#: Seconds from which on a silence is a pause with resting lips.
_FULL_PAUSE = 0.15
#: Part of a neighboring vowel that an early or late lip shape may cover.
_INTO_VOWEL = 0.5


@dataclass(frozen=True, eq=False)
class Gestures:
    """n gestures with their dominance over the jaw and the lips."""

    jaw_core: Array  # [n,2] seconds in which the dominance over the jaw is full
    lip_core: Array  # [n,2] the same over the lips
    strength: Array  # [n,2] magnitude of the dominance over jaw and lips
    attack: Array  # [n] seconds in which it falls to 1/e before the core
    decay: Array  # [n] the same after it
    targets: Array  # [n,C] weights of CONTROLS


@dataclass(frozen=True)
class Demand:
    """What the mouth must do in a time span."""

    kind: Requirement
    start: float  # seconds
    end: float  # seconds
    jaw_most: float
    contact: tuple[tuple[str, float], ...]  # control, weight
    before: float = np.inf  # seconds from the middle of the vowel before, in which the mouth is open
    after: float = np.inf  # seconds to the middle of the vowel after


@dataclass(frozen=True)
class _Part:
    """A phone, or one half of a diphthong."""

    phone: Phone
    target: str  # name of the viseme
    start: float
    end: float


def gestures_of(speech: Speech, table: VisemeTable) -> Gestures:
    """The gestures of all phones of `speech`, in order."""
    parts = [part for phone in merged(speech.phones, table) for part in _parts(phone, table)]
    sizes = _sizes(parts, speech)
    columns = {name: column for column, name in enumerate(CONTROLS)}
    targets = np.zeros((len(parts), len(columns)))
    for row, part in enumerate(parts):
        for control, weight in table.phones[part.target].shape.items():
            targets[row, columns[control]] = weight * sizes[row]
    classes = [table.class_of(part.target) for part in parts]
    strength = np.array([(kind.jaw, kind.lips) for kind in classes]).reshape(-1, 2)
    for row, part in enumerate(parts):
        if part.target == SILENCE:
            strength[row] *= min((part.end - part.start) / _FULL_PAUSE, 1.0) ** 2
    return Gestures(
        jaw_core=np.array([_core(part) for part in parts]).reshape(-1, 2),
        lip_core=np.array([_lip_core(parts, row, table) for row in range(len(parts))]).reshape(-1, 2),
        strength=strength,
        attack=np.array([kind.attack for kind in classes]),
        decay=np.array([kind.decay for kind in classes]),
        targets=targets,
    )


def demands_of(speech: Speech, table: VisemeTable) -> list[Demand]:
    """What lips and teeth must do when, in order."""
    phones = merged(speech.phones, table)
    middles = np.array([(phone.start + phone.end) / 2 for phone in phones if phone.name in VOWELS])
    found: list[Demand] = []
    for phone in phones:
        viseme = table.phones[phone.name]
        if viseme.requirement == "none":
            continue
        end = phone.start + viseme.held * (phone.end - phone.start)
        next_vowel = int(np.searchsorted(middles, phone.start))
        before = phone.start - middles[next_vowel - 1] if next_vowel else np.inf
        after = middles[next_vowel] - end if next_vowel < len(middles) else np.inf
        contact = tuple(sorted(viseme.contact.items()))
        found.append(Demand(viseme.requirement, phone.start, end, viseme.jaw_most, contact, before, after))
    return found


def merged(phones: Sequence[Phone], table: VisemeTable) -> list[Phone]:
    """`phones` with adjacent ones of the same viseme merged to one; phones without a length are left out."""
    found: list[Phone] = []
    for phone in phones:
        if phone.end <= phone.start:
            continue
        if found and _alike(found[-1].name, phone.name, table):
            found[-1] = replace(found[-1], end=phone.end, stress=max(found[-1].stress, phone.stress))
        else:
            found.append(phone)
    return found


def _alike(first: str, second: str, table: VisemeTable) -> bool:
    a = table.phones[first]
    b = table.phones[second]
    return first == second or (a.requirement == b.requirement == "closure") or (bool(a.shape) and a == b)


def _parts(phone: Phone, table: VisemeTable) -> list[_Part]:
    viseme = table.phones[phone.name]
    if not viseme.parts:
        return [_Part(phone, phone.name, phone.start, phone.end)]
    turn = phone.start + viseme.split * (phone.end - phone.start)
    return [_Part(phone, viseme.parts[0], phone.start, turn), _Part(phone, viseme.parts[1], turn, phone.end)]


def _core(part: _Part) -> tuple[float, float]:
    length = part.end - part.start
    if part.target == SILENCE:
        before, after = (min(edge, length / 3) for edge in _SILENCE_EDGES)
        return part.start + before, part.end - after
    return part.start + _CORE[0] * length, part.start + _CORE[1] * length


def _lip_core(parts: Sequence[_Part], row: int, table: VisemeTable) -> tuple[float, float]:
    """The core for the lips: that of the phone, extended by `early` and `late` of its class."""
    start, end = _core(parts[row])
    kind = table.class_of(parts[row].target)
    if kind.early:
        start = max(parts[row].start - kind.early, _reach(parts, row, -1))
    if kind.late:
        end = min(parts[row].end + kind.late, _reach(parts, row, 1))
    return min(start, end), end


def _reach(parts: Sequence[_Part], row: int, step: int) -> float:
    """The time to which a lip shape may extend before (-1) or after (1) part `row`: into a vowel only partly."""
    other = row + step
    while 0 <= other < len(parts):
        near = parts[other]
        if near.phone.name in VOWELS and near.phone is not parts[row].phone:
            into = _INTO_VOWEL * (near.end - near.start)
            return near.end - into if step < 0 else near.start + into
        other += step
    return -np.inf if step < 0 else np.inf


def _sizes(parts: Sequence[_Part], speech: Speech) -> Array:
    """Size [n] of the shape of each part: 1 for consonants; of vowels by stress, loudness and pitch."""
    stressed = any(part.phone.stress for part in parts)
    vowels = [row for row, part in enumerate(parts) if part.phone.name in VOWELS]
    loudness = np.array([mean_between(speech.loudness, parts[row].start, parts[row].end) for row in vowels])
    pitch = np.array([mean_between(speech.pitch, parts[row].start, parts[row].end, voiced=True) for row in vowels])
    sizes = np.ones(len(parts))
    if not vowels:
        return sizes
    louder = np.nan_to_num(loudness - _median(loudness))
    octaves = np.nan_to_num(np.log2(np.maximum(pitch, 1.0)) - np.log2(max(_median(pitch), 1.0)))
    size = (1 + _PER_DECIBEL * louder).clip(*_LOUDNESS_RANGE) * (1 + _PER_OCTAVE * octaves.clip(-1, 1))
    if stressed:
        size *= [_STRESS[min(max(parts[row].phone.stress, 0), 2)] for row in vowels]
    sizes[vowels] = size
    return sizes


def mean_between(values: NDArray[np.float32], start: float, end: float, *, voiced: bool = False) -> float:
    """Mean of `values` [n] at FRAME_RATE between two times; NaN where there are none, with `voiced` those above 0."""
    found = values[max(int(start * FRAME_RATE), 0) : max(int(end * FRAME_RATE), int(start * FRAME_RATE) + 1)]
    found = found[np.isfinite(found) & (found > 0)] if voiced else found[np.isfinite(found)]
    return float(found.mean()) if len(found) else float("nan")


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
