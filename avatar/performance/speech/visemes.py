"""The table of visemes: what jaw, lips and tongue do for each phone (visemes.toml, which names its sources)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from avatar.common.toml_config import apply_values, toml_reader
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.phones import PHONES, SILENCE

_FILE = Path(__file__).with_name("visemes.toml")
#: The table has 8 KB; comments may be longer.
_MAX_BYTES = 1 << 17

Requirement = Literal["none", "closure", "labiodental", "sibilant"]


def _controls() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for column, name in enumerate(ARKIT_52):
        if name.startswith(("jaw", "mouth", "cheekPuff", "tongue")):
            whole = name.removesuffix("Left").removesuffix("Right")
            key = whole if whole + "Left" in ARKIT_52 and whole + "Right" in ARKIT_52 else name
            if whole not in ("jaw", "mouth"):  # jawLeft, mouthRight ... move to a side: no phone does
                found[key] = (*found.get(key, ()), column)
    return found


#: Name of a control of the mouth -> its columns in ARKIT_52; left and right are one control.
CONTROLS: Mapping[str, tuple[int, ...]] = _controls()
#: Those of the jaw; all others are of the lips and the tongue.
JAW_CONTROLS = ("jawOpen", "jawForward")
#: Those that open the mouth, over which a class has another dominance than over the shape of the lips.
OPENING_CONTROLS = (*JAW_CONTROLS, "mouthLowerDown", "mouthUpperUp")


@dataclass(frozen=True)
class VisemeClass:
    """How strongly and how long the phones of a class dominate their neighbors."""

    jaw: float = 0.5  # magnitude of the dominance over the opening
    lips: float = 0.5  # the same over the shape of lips and tongue
    attack: float = 0.05  # seconds in which the dominance falls to 1/e before the phone
    decay: float = 0.05  # the same after it
    early: float = 0.0  # seconds that the lip shape starts before the phone
    late: float = 0.0  # seconds that the lip shape stays after it

    def __post_init__(self) -> None:
        for name, low, high in (("jaw", 0, 10), ("lips", 0, 10), ("attack", 0.005, 1), ("decay", 0.005, 1)):
            _check(name, getattr(self, name), low, high)
        _check("early", self.early, 0, 0.5)
        _check("late", self.late, 0, 0.5)


@dataclass(frozen=True)
class Viseme:
    """The mouth of one phone."""

    kind: str = "tongue"  # name of its class
    parts: tuple[str, ...] = ()  # phones that it glides through; the rest is then theirs
    split: float = 0.5  # where in the phone the second part starts
    shape: Mapping[str, float] = field(default_factory=dict)  # control -> weight
    contact: Mapping[str, float] = field(default_factory=dict)  # control -> weight while the requirement holds
    requirement: Requirement = "none"
    held: float = 1.0  # part of the phone in which the requirement holds
    jaw_most: float = 1.0  # upper limit of jawOpen where it holds

    def __post_init__(self) -> None:
        for name in ("split", "held"):
            _check(name, getattr(self, name), 0.05, 1)
        _check("jaw_most", self.jaw_most, 0, 1)


@dataclass(frozen=True)
class VisemeTable:
    """The visemes of all phones and their classes."""

    classes: Mapping[str, VisemeClass]
    phones: Mapping[str, Viseme]

    @staticmethod
    def load(path: Path | None = None) -> VisemeTable:
        """The table of `path` over the built-in one; None: the built-in one.

        Raises:
            HeadsplatError: a missing or malformed file, an unknown name (with the nearest known one), or a value out of
                range.
        """
        built_in = _built_in()
        return built_in if path is None else _merged(built_in, _read(path), str(path))

    def class_of(self, phone: str) -> VisemeClass:
        """The class of a phone that has no parts."""
        return self.classes[self.phones[phone].kind]


@cache
def _built_in() -> VisemeTable:
    return _merged(VisemeTable({}, {name: Viseme(kind="tongue") for name in PHONES}), _read(_FILE), _FILE.name)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise HeadsplatError(f"{path}: larger than {_MAX_BYTES >> 10} KB, no table of visemes is; check its path")
        return toml_reader.loads(data.decode("utf-8"))
    except FileNotFoundError as error:
        raise HeadsplatError(f"{path}: no such table of visemes; check the path given to --visemes") from error
    except OSError as error:
        raise HeadsplatError(f"{path}: cannot read the table of visemes ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:  # not TOML, not text, or nested too deeply
        raise HeadsplatError(f"{path}: not a table of visemes ({str(error)[:80]}); correct that line") from error


def _merged(base: VisemeTable, content: Mapping[str, Any], where: str) -> VisemeTable:
    """`base` with the values of a file's `content`; `where` names the file in messages."""
    for key in content:
        if key not in ("classes", "phones"):
            raise HeadsplatError(f"{where}: unknown table [{key}]; the tables are [classes.NAME] and [phones.NAME]")
    classes = dict(base.classes)
    phones = dict(base.phones)
    for name, values in _tables(content, "classes", where):
        classes[name] = apply_values(classes.get(name, VisemeClass()), values, where, f"classes.{name}.")
    for name, values in _tables(content, "phones", where):
        if name not in PHONES:
            raise HeadsplatError(f"{where}: [phones.{name}] is no ARPABET phone; {_nearest(name, PHONES)}")
        phones[name] = _viseme(phones[name], values, where, name)
    for name, viseme in phones.items():
        if viseme.kind not in classes and classes:
            raise HeadsplatError(f"{where}: phones.{name}: no class {viseme.kind!r}; {_nearest(viseme.kind, classes)}")
        _check_parts(phones, name, where)
    return VisemeTable(classes, phones)


def _tables(content: Mapping[str, Any], key: str, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = content.get(key, {})
    if not isinstance(found, Mapping) or not all(isinstance(values, Mapping) for values in found.values()):
        raise HeadsplatError(f"{where}: [{key}] must contain tables, such as [{key}.AA]")
    return list(found.items())


def _viseme(base: Viseme, values: Mapping[str, Any], where: str, name: str) -> Viseme:
    weights = {key: values[key] for key in ("shape", "contact") if key in values}
    others = {key: value for key, value in values.items() if key not in weights}
    viseme = apply_values(base, others, where, f"phones.{name}.")
    for key, given in weights.items():
        _check_weights(given, f"{where}: phones.{name}.{key}")
    return replace(
        viseme, shape=dict(weights.get("shape", viseme.shape)), contact=dict(weights.get("contact", viseme.contact))
    )


def _check_weights(given: Any, where: str) -> None:
    if not isinstance(given, Mapping):
        raise HeadsplatError(f"{where}: expected a table of weights, such as {{ jawOpen = 0.3 }}")
    for control, weight in given.items():
        if control not in CONTROLS:
            raise HeadsplatError(f"{where}: no control {control!r}; {_nearest(control, CONTROLS)}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
            raise HeadsplatError(f"{where}.{control}: expected a weight of 0 to 1, got {weight!r:.40}")


def _check_parts(phones: Mapping[str, Viseme], name: str, where: str) -> None:
    parts = phones[name].parts
    if not parts:
        return
    wrong = next((part for part in parts if part not in phones or phones[part].parts or part == SILENCE), None)
    if wrong is not None or len(parts) != 2:
        found = "one part only or more than two" if wrong is None else repr(wrong)
        raise HeadsplatError(f"{where}: phones.{name}.parts: {found}; give two phones that have no parts themselves")


def _nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value:g}")
