"""Faces that a user has saved by a name, in a file beside the avatar or apart. No NumPy: a window opens with them.

A file of its own, not an entry of the avatar: it is text, one line of it changes when one face does, and neither a
window that saves a face nor a training that writes the avatar again can damage the other.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from avatar.common.files import os_error_sentence, path_text, write_text
from avatar.common.json_values import read_json_object
from avatar.common.jsonable import shortened
from avatar.common.locks import locked
from avatar.common.printable import single_line
from avatar.common.toml_config import apply_values
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52

SUFFIX = ".presets.json"
VERSION = 2  # files without action units are of version 1, which older ones read
#: Presets of a file, bytes of it, characters of a name and of a text.
MAX_PRESETS, MAX_BYTES, MAX_NAME, MAX_TEXT = 99, 1 << 18, 40, 1000
#: Keys of the keyboard that show a preset.
KEYS = range(1, 10)
#: Weights at most, on both sides of 0: of ARKit's expressions, and of others.
_MAX_ARKIT, _MAX_OTHER = 1.0, 10.0
_MAX_WEIGHTS = 1000
_MAX_DEGREES = 90.0
_ARKIT_BY_LOWER = {name.lower(): name for name in ARKIT_52}
_UNIT = re.compile(r"AU[0-9]{1,2}[LR]?")
_REMEDY = "correct it, or save its faces again"


@dataclass(frozen=True)
class FacePreset:
    """A face with a name.

    Raises:
        ValueError: a value is out of range; the text says which.
    """

    name: str
    """up to MAX_NAME characters on one line, without slashes; names that differ in case only are the same"""
    weights: Mapping[str, float] = field(default_factory=dict)
    """by expression, added to the resting face: ARKit's names, -1 to 1, or those of the avatar's own, -10 to 10"""
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """degrees: yaw to the person's left, pitch down, roll to the person's right shoulder"""
    jaw: tuple[float, float] = (0.0, 0.0)
    """degrees of the jaw joint, beside its expressions: open, to the person's left"""
    key: int | None = None
    """of KEYS, that shows it; none: no key does"""
    source: str = ""
    """what it was made of"""
    consent: str = ""
    """a note on the consent of the person that it was made of"""
    units: Mapping[str, float] = field(default_factory=dict)
    """action units of which the weights are made, 0 to 1 by name, with L or R for one side: {"AU12R": 0.5}"""

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME or self.name != self.name.strip() or not self.name.isprintable() or not self.name:
            raise ValueError(f"`name` is {self.name!r:.60}, expected 1 to {MAX_NAME} characters on one line")
        if set(self.name) & set("/\\"):
            raise ValueError(f"`name` is {self.name!r}, expected one without slashes")
        if self.key is not None and self.key not in KEYS:
            raise ValueError(f"`key` is {self.key}, expected {KEYS[0]} to {KEYS[-1]}")
        if len(self.weights) > _MAX_WEIGHTS:
            raise ValueError(f"`weights` has {len(self.weights)} expressions, at most {_MAX_WEIGHTS} are possible")
        for name, weight in self.weights.items():
            if name not in ARKIT_52 and (known := _ARKIT_BY_LOWER.get(name.lower())):
                raise ValueError(f"`weights` has {name!r}; did you mean `{known}`?")
            most = _MAX_ARKIT if name in ARKIT_52 else _MAX_OTHER
            if type(weight) not in (int, float) or not -most <= weight <= most:
                raise ValueError(f"`weights.{name:.60}` is {weight!r:.40}, expected {-most:g} to {most:g}")
        for name, value in self.units.items():
            if not _UNIT.fullmatch(name) or type(value) not in (int, float) or not 0 <= value <= 1:
                raise ValueError(f"`units.{name:.20}` is {value!r:.40}, expected AU12, AU12L or AU12R, from 0 to 1")
        for key, degrees in (("head", self.head), ("jaw", self.jaw)):
            if not all(math.isfinite(angle) and abs(angle) <= _MAX_DEGREES for angle in degrees):
                raise ValueError(f"`{key}` is {list(degrees)!r:.60}, expected degrees up to {_MAX_DEGREES:g}")
        for key in ("source", "consent"):
            if len(getattr(self, key)) > MAX_TEXT:
                raise ValueError(f"`{key}` has more than {MAX_TEXT} characters; shorten it")

    @property
    def arkit_weights(self) -> dict[str, float]:
        """Its weights of ARKit's expressions, 0..1."""
        return {name: max(weight, 0.0) for name, weight in self.weights.items() if name in ARKIT_52}

    @property
    def left_out(self) -> tuple[str, ...]:
        """What of it ARKit's expressions cannot show."""
        others = any(name not in ARKIT_52 for name in self.weights)
        found = {"expressions of the avatar's own": others, "turn of the head": any(self.head), "jaw": any(self.jaw)}
        return tuple(name for name, is_used in found.items() if is_used)

    def content(self) -> dict[str, Any]:
        """As JSON values; what is as by default is left out."""
        found: dict[str, Any] = {"name": self.name, "weights": {n: round(w, 4) for n, w in self.weights.items()}}
        found["units"] = {n: round(w, 4) for n, w in self.units.items()}
        found |= {key: [round(angle, 2) for angle in getattr(self, key)] for key in ("head", "jaw")}
        found |= {"key": self.key, "source": self.source, "consent": self.consent}
        given = {"name", "weights"} | {
            key for key, value in self.__dict__.items() if value != getattr(FacePreset, key, 0)
        }
        if not self.units:
            given -= {"units"}
        return {key: value for key, value in found.items() if key in given}


def presets_path(path: Path) -> Path:
    """The file of the presets of an avatar, `me.presets.json` beside `me.avatar`; a .json file is one itself."""
    return path if path.suffix.lower() == ".json" else path.parent / (path.name.removesuffix(".avatar") + SUFFIX)


def own_presets(avatar: Path) -> tuple[FacePreset, ...]:
    """The presets of an avatar's file, none where it has no file of them; raises HeadsplatError as `read_presets`."""
    path = presets_path(avatar)
    return read_presets(path) if os.path.exists(path) else ()


def read_presets(path: Path) -> tuple[FacePreset, ...]:
    """The presets of a file.

    Raises:
        HeadsplatError: missing, too large, no file of presets, of a newer version, an unknown key (with the nearest
            known one), a value out of range, or a name or key that two presets have.
    """
    if not os.path.exists(path):
        raise HeadsplatError(
            f"{path}: no such file of presets; save one with `headsplat preset add`, or check its path"
        )
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise HeadsplatError(
                f"{path}: larger than {MAX_BYTES >> 10} KB, which no file of presets is; check its path"
            )
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error
    content = read_json_object(path, _REMEDY)
    if content.get("headsplat") != "presets":
        raise HeadsplatError(f'{path}: no file of presets, which has "headsplat": "presets"; check its path')
    version = content.get("version")
    if type(version) is int and version > VERSION:
        raise HeadsplatError(
            f"{path}: presets of version {shortened(version, 20)}, this headsplat reads {VERSION}; update headsplat"
        )
    if type(version) is not int or version < 1:
        raise HeadsplatError(f"{path}: no version {VERSION} in it; {_REMEDY}")
    entries = apply_values(_File(), {k: v for k, v in content.items() if k not in ("headsplat", "version")}, str(path))
    presets: tuple[FacePreset, ...] = ()
    for number, entry in enumerate(entries.presets, 1):
        where = f"{path}: preset {number}"
        if not isinstance(entry.get("name"), str):
            raise HeadsplatError(f"{where}: no `name` in it; {_REMEDY}")
        preset = apply_values(FacePreset("face"), entry, where)
        try:
            presets = with_preset(presets, preset)
        except HeadsplatError as error:
            raise HeadsplatError(f"{where}: {error}") from error
    return presets


@dataclass(frozen=True)
class _File:
    presets: list[dict[str, Any]] = field(default_factory=list)


def text_of(presets: Sequence[FacePreset]) -> str:
    """The content of a file of presets."""
    rows = ",\n".join(f"  {json.dumps(preset.content(), ensure_ascii=False)}" for preset in presets)
    listed = f"[\n{rows}\n ]" if rows else "[]"
    version = VERSION if any(preset.units for preset in presets) else 1
    return f'{{\n "headsplat": "presets",\n "version": {version},\n "presets": {listed}\n}}\n'


def change_presets(
    path: Path, change: Callable[[tuple[FacePreset, ...]], tuple[FacePreset, ...]]
) -> tuple[FacePreset, ...]:
    """Read a file of presets, which need not exist, change them and write it, whole or not at all.

    Returns:
        what it contains now.

    Raises:
        HeadsplatError: as `read_presets`, or it cannot be written, or another program is writing it, or of `change`.
    """
    with locked(path):
        changed = change(own_presets(path))
        write_presets(path, changed)
    return changed


def write_presets(path: Path, presets: Sequence[FacePreset]) -> None:
    """Write a file of presets, whole or not at all; raises HeadsplatError where it cannot be written."""
    write_text(path, text_of(presets))


def with_preset(
    presets: tuple[FacePreset, ...], preset: FacePreset, *, overwrite: bool = False
) -> tuple[FacePreset, ...]:
    """Presets with another one.

    Args:
        presets: those before.
        preset: is added at the end, or with `overwrite` in the place of the one of its name.
        overwrite: whether it may replace one.

    Raises:
        HeadsplatError: the name or the key is that of another one, or there are too many.
    """
    before = preset_named(presets, preset.name)
    if before is not None and not overwrite:
        raise HeadsplatError(f"there is a preset {before.name!r} already; choose another name")
    others = [one for one in presets if one is not before]
    if taken := [one.name for one in others if preset.key is not None and one.key == preset.key]:
        raise HeadsplatError(f"key {preset.key} shows the preset {taken[0]!r}; choose another key")
    if len(others) >= MAX_PRESETS:
        raise HeadsplatError(f"there are {len(others)} presets, at most {MAX_PRESETS} are kept; remove some first")
    return tuple(preset if one is before else one for one in presets) if before else (*presets, preset)


def without_preset(presets: tuple[FacePreset, ...], name: str) -> tuple[FacePreset, ...]:
    """Presets without the one of a name; raises HeadsplatError where there is none."""
    if (found := preset_named(presets, name)) is None:
        known = first_names(presets) or "none"
        raise HeadsplatError(f"no preset {single_line(name)!r:.60}; there are {known}")
    return tuple(preset for preset in presets if preset is not found)


def with_free_key(presets: Sequence[FacePreset], preset: FacePreset) -> FacePreset:
    """A preset with the key of the one that it replaces, or the first key that none has; without any where all are."""
    before = preset_named(presets, preset.name)
    taken = {one.key for one in presets if one is not before}
    free = next((key for key in KEYS if key not in taken), None)
    return replace(preset, key=free if before is None or before.key is None else before.key)


def preset_named(presets: Sequence[FacePreset], name: str) -> FacePreset | None:
    """The preset of that name, in any case; None where there is none."""
    wanted = name.strip().lower()
    return next((preset for preset in presets if preset.name.lower() == wanted), None)


def first_names(presets: Sequence[FacePreset]) -> str:
    """The names of the first five presets, for messages, with ... where there are more."""
    return ", ".join([*(preset.name for preset in presets[:5]), *(["..."] if len(presets) > 5 else [])])


def saved_sentence(path: Path, preset: FacePreset) -> str:
    """What is said of a preset that was saved."""
    key = "" if preset.key is None else f", key {preset.key}"
    return f"{path_text(path)}: {preset.name} saved{key}"
