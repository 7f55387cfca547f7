"""The editable table of action units and emotions (`table.toml`, which describes its keys and cites its sources)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import path_text
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.table_reader import TableReader, read_toml

Floats = NDArray[np.float64]

DEFAULT_TABLE = Path(__file__).with_name("table.toml")
VERSION = 1
LETTERS = "ABCDE"
LEFT = 0
RIGHT = 1
AXES = ("yaw", "pitch", "roll")
NEUTRAL = "neutral"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Unit:
    """One action unit that expression weights show."""

    key: str  # AU12
    name: str
    muscles: str
    #: of the left and of the right side: expression -> weight at intensity 1; the same twice for a unit without sides
    weights: tuple[Mapping[str, float], Mapping[str, float]]
    rule: str  # fit or all
    curve: tuple[tuple[float, float], ...]  # (weight, intensity), or empty
    gap: tuple[tuple[float, float], ...]  # (millimeters, intensity), or empty
    excludes: tuple[str, ...]
    implies: tuple[str, ...]
    evidence: float  # 0..1
    affect: float  # 0..1
    speech: float  # 0..1
    one_sided: bool
    words: tuple[str, ...]

    @property
    def sided(self) -> bool:
        """Whether left and right can differ."""
        return self.weights[LEFT] != self.weights[RIGHT]


@dataclass(frozen=True)
class HeadUnit:
    """A position of the head."""

    key: str  # AU51
    name: str
    axis: str  # yaw, pitch or roll
    degrees: float  # at intensity 1; its sign is the direction


@dataclass(frozen=True, eq=False)
class Emotion:
    """A label with its faces; the first one is the preset."""

    name: str
    faces: tuple[Floats, ...]  # each [U,2] intensities of the left and the right side
    valence: float  # -1..1
    arousal: float  # -1..1
    words: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """Constants of the scores of labels."""

    penalty: float = 0.2
    sharpness: float = 12.0
    neutral: float = 0.35
    neutral_slope: float = -0.5
    unknown_slope: float = 0.55


@dataclass(frozen=True, eq=False)
class FacsTable:
    """Action units, emotions and phrases, as one file describes them."""

    where: str  # the file, for messages
    letters: tuple[float, ...]  # [5] smallest intensity of A to E
    gap_rest: float  # millimeters
    gap_opening: Floats  # [52] millimeters that a weight of 1 adds
    units: tuple[Unit, ...]
    head: tuple[HeadUnit, ...]
    emotions: tuple[Emotion, ...]
    affect: tuple[Emotion, ...]  # further faces of the valence-arousal pad
    scores: Scores
    adverbs: Mapping[str, float]
    phrases: Mapping[str, Floats]  # each [U,2]

    @staticmethod
    def load(path: str | Path | None = None) -> FacsTable:
        """Read a table; None: headsplat's own.

        Raises:
            HeadsplatError: a missing or malformed file, or an entry that is not valid, by file and key.
        """
        path = DEFAULT_TABLE if path is None else Path(path)
        return _Builder(TableReader(path_text(path), read_toml(path))).table()

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The action units, in the order of all arrays of intensities."""
        return tuple(unit.key for unit in self.units)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The emotions, then neutral and unknown."""
        return (*(emotion.name for emotion in self.emotions), NEUTRAL, UNKNOWN)

    @property
    def threshold(self) -> float:
        """The smallest intensity that is scored, that of A."""
        return self.letters[0]

    def letter(self, intensity: float) -> str:
        """The letter of an intensity; empty below A."""
        return next((LETTERS[k] for k in range(4, -1, -1) if intensity >= self.letters[k]), "")

    def unit(self, key: str) -> Unit:
        """The unit called `key`; raises HeadsplatError that lists the units."""
        if key not in self.keys:
            raise HeadsplatError(f"{key!r} is not an action unit of {self.where}; choose one of {', '.join(self.keys)}")
        return self.units[self.keys.index(key)]

    def emotion(self, name: str) -> Emotion:
        """The emotion called `name`; raises HeadsplatError that lists the emotions."""
        found = next((emotion for emotion in self.emotions if emotion.name == name), None)
        if found is None:
            known = ", ".join(emotion.name for emotion in self.emotions)
            raise HeadsplatError(f"{name!r} is not an emotion of {self.where}; choose one of {known}")
        return found


class _Builder:
    """Checks the content of a file and makes a table of it."""

    def __init__(self, reader: TableReader) -> None:
        self.reader = reader
        self.units: tuple[Unit, ...] = ()

    def table(self) -> FacsTable:
        top = self.reader
        top.only("version", "letters", "lip_gap", "units", "head", "emotions", "affect", "scores", "phrases")
        if top.number("version", 0, 1e6) != VERSION:
            raise top.error("version", f"expected {VERSION}")
        letters = top.table("letters")
        letters.only(*LETTERS)
        limits = tuple(letters.number(letter, 0.001, 1) for letter in LETTERS)
        if list(limits) != sorted(set(limits)):
            raise letters.error("A", "expected five increasing intensities from A to E")
        self.units = tuple(self._unit(key, top.table("units").table(key)) for key in top.table("units").names())
        self._check_references()
        phrases = top.table("phrases", {})
        phrases.only("adverbs", "faces")
        adverbs = phrases.table("adverbs", {})
        return FacsTable(
            self.reader.where,
            limits,
            *self._lip_gap(),
            self.units,
            tuple(self._head(key, top.table("head", {}).table(key)) for key in top.table("head", {}).names()),
            self._emotions("emotions", required=True),
            self._emotions("affect", required=False),
            self._scores(),
            {name.lower(): adverbs.number(name, 0, 2) for name in adverbs.names()},
            {name.lower(): self._face(phrases.table("faces", {}), name) for name in phrases.table("faces", {}).names()},
        )

    def _lip_gap(self) -> tuple[float, Floats]:
        gap = self.reader.table("lip_gap")
        gap.only("rest", *ARKIT_52)
        opening = np.array([gap.number(name, -100, 100, 0.0) for name in ARKIT_52])
        return gap.number("rest", -10, 10, 0.0), opening

    def _unit(self, key: str, entry: TableReader) -> Unit:
        entry.only(
            "name",
            "muscles",
            "weights",
            "rule",
            "curve",
            "gap",
            "excludes",
            "implies",
            "evidence",
            "affect",
            "speech",
            "one_sided",
            "words",
        )
        if not (key.startswith("AU") and key[2:].isdecimal()):
            raise self.reader.error(f"units.{key}", "expected a name such as AU12")
        weights = self._sides(entry.table("weights"))
        curve = entry.pairs("curve")
        gap = entry.pairs("gap")
        if (curve or gap) and len(weights[LEFT]) != 1:
            raise entry.error("weights", "expected one weight for a unit with a curve or a gap")
        evidence = entry.number("evidence", 0, 1, 1.0)
        return Unit(
            key,
            entry.text("name"),
            entry.text("muscles", ""),
            weights,
            entry.choice("rule", ("fit", "all")),
            curve,
            gap,
            entry.texts("excludes"),
            entry.texts("implies"),
            evidence,
            entry.number("affect", 0, 1, evidence),
            entry.number("speech", 0, 1, 0.0),
            entry.flag("one_sided"),
            tuple(text.lower() for text in entry.texts("words")),
        )

    def _sides(self, entry: TableReader) -> tuple[dict[str, float], dict[str, float]]:
        sides: tuple[dict[str, float], dict[str, float]] = ({}, {})
        for name in entry.names():
            factor = entry.number(name, 0.01, 1)
            if name in ARKIT_52:
                sides[LEFT][name] = sides[RIGHT][name] = factor
            elif f"{name}Left" in ARKIT_52:
                sides[LEFT][f"{name}Left"] = sides[RIGHT][f"{name}Right"] = factor
            else:
                raise entry.unknown(name, [*ARKIT_52, *{known.removesuffix("Left") for known in ARKIT_52}])
        if not sides[LEFT]:
            raise entry.error("", "expected at least one expression")
        return sides

    def _check_references(self) -> None:
        keys = [unit.key for unit in self.units]
        if not keys:
            raise self.reader.error("units", "expected at least one unit")
        for unit in self.units:
            for field in ("excludes", "implies"):
                for other in getattr(unit, field):
                    if other not in keys:
                        raise self.reader.unknown(f"units.{unit.key}.{field}: {other}", keys)

    def _head(self, key: str, entry: TableReader) -> HeadUnit:
        entry.only("name", "axis", "degrees")
        degrees = entry.number("degrees", -180, 180)
        if degrees == 0:
            raise entry.error("degrees", "expected an angle other than 0")
        return HeadUnit(key, entry.text("name"), entry.choice("axis", AXES), degrees)

    def _emotions(self, kind: str, *, required: bool) -> tuple[Emotion, ...]:
        group = self.reader.table(kind) if required else self.reader.table(kind, {})
        found = tuple(self._emotion(name, group.table(name)) for name in group.names())
        if required and not found:
            raise self.reader.error(kind, "expected at least one emotion")
        return found

    def _emotion(self, name: str, entry: TableReader) -> Emotion:
        if name in (NEUTRAL, UNKNOWN):
            raise entry.error("", "neutral and unknown are labels of their own; choose another name")
        face = "units" if entry.path.startswith("affect") else "prototype"
        entry.only(face, "variants", "valence", "arousal", "words")
        variants = entry.tables("variants")
        return Emotion(
            name,
            (self._face(entry, face), *(self._face(variant, "") for variant in variants)),
            entry.number("valence", -1, 1),
            entry.number("arousal", -1, 1),
            tuple(text.lower() for text in entry.texts("words")),
        )

    def _face(self, entry: TableReader, key: str) -> Floats:
        """Intensities [U,2] of a face such as `{ AU6 = 0.7, R12 = 0.5 }`."""
        face = np.zeros((len(self.units), 2))
        table = entry.table(key) if key else entry
        numbers = {unit.key[2:]: row for row, unit in enumerate(self.units)}
        for name in table.names():
            side, number = (name[:2], name[2:]) if name.startswith("AU") else (name[:1], name[1:])
            if side not in ("AU", "L", "R") or number not in numbers:
                raise table.unknown(name, [unit.key for unit in self.units])
            if side != "AU" and not self.units[numbers[number]].sided:
                raise table.error(name, f"AU{number} has no sides; write AU{number}")
            columns = {"AU": [LEFT, RIGHT], "L": [LEFT], "R": [RIGHT]}[side]
            face[numbers[number], columns] = table.number(name, 0, 1)
        return face

    def _scores(self) -> Scores:
        entry = self.reader.table("scores", {})
        default = Scores()
        limits: dict[str, tuple[float, float]] = {
            "penalty": (0, 10),
            "sharpness": (0.1, 100),
            "neutral": (0, 10),
            "neutral_slope": (-10, 0),
            "unknown_slope": (0, 10),
        }
        entry.only(*limits)
        found: dict[str, Any] = {
            name: entry.number(name, *span, getattr(default, name)) for name, span in limits.items()
        }
        return Scores(**found)
