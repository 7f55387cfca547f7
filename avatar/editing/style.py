"""Styles: edits of an avatar as a small JSON file, such as make-up, freckles, or gray as in old films."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import torch

from avatar.common.files import atomic_path
from avatar.common.image_io import encode_png
from avatar.editing.decals import Canvas
from avatar.editing.edit import Edit
from avatar.editing.layers import LAYERS
from avatar.editing.paint_file import decoded_canvas
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar

FOLDER = Path(__file__).with_name("styles")
_MAX_BYTES = 16 << 20
_LUMA = (0.2126, 0.7152, 0.0722)
_MARKS = ("lips", "blush", "eye shadow", "freckles")


@dataclass(frozen=True)
class Mark:
    """Paint on a named place of the face."""

    place: str  # of _MARKS
    color: tuple[int, int, int]  # display sRGB, 0..255
    opacity: float  # 0..1
    seed: int = 0  # of the places of freckles


@dataclass(frozen=True)
class Style:
    """What to change, in this order; the defaults change nothing."""

    edit: Edit = field(default_factory=Edit)
    hide: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    gray: float = 0.0  # 0..1: how much of all colors is lost
    paint: Canvas | None = None  # RGBA

    def content(self) -> dict[str, Any]:
        """As plain JSON values; what changes nothing is left out."""
        changes = self.edit.changes()
        found: dict[str, Any] = {"edit": changes} if len(changes) > 1 else {}
        if self.hide:
            found["hide"] = list(self.hide)
        if self.marks:
            found["marks"] = [asdict(mark) | {"color": list(mark.color)} for mark in self.marks]
        return found | ({"gray": self.gray} if self.gray else {})


@cache
def presets() -> tuple[str, ...]:
    """Names of the styles of the package."""
    return tuple(sorted(path.name.removesuffix(".style.json") for path in FOLDER.glob("*.style.json")))


def read_style(source: str) -> Style:
    """The style of a name of `presets`, or of a file.

    Raises:
        HeadsplatError: no such style, or a damaged file; the text says what is wrong.
    """
    path = FOLDER / f"{source}.style.json" if source in presets() else Path(source)
    if not path.is_file():
        raise HeadsplatError(f"--style: no style {source[:80]!r}; give {', '.join(presets())}, or a .style.json file")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES >> 20} MiB")
        return _style(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, RecursionError, HeadsplatError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HeadsplatError(f"{path}: not a style, or a damaged one ({reason}); write it again") from error


def write_style(path: Path, style: Style) -> None:
    """Write `style` as a JSON file, with the paint as a PNG in it."""
    content = {"headsplat": "style", "version": 1, **style.content()}
    if style.paint is not None:
        png = encode_png(cv2.cvtColor(style.paint, cv2.COLOR_RGBA2BGRA))
        content["paint"] = base64.b64encode(png).decode("ascii")
    with atomic_path(path) as part:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _style(content: Any) -> Style:
    """Args: parsed JSON. Raises ValueError, TypeError, KeyError or HeadsplatError for wrong values."""
    if not isinstance(content, dict) or content.get("headsplat") != "style":
        raise ValueError('no entry "headsplat": "style"')
    if content.get("version") != 1:
        raise ValueError(f"version {str(content.get('version'))[:20]}, this headsplat reads 1")
    known = {"headsplat", "version", "edit", "hide", "marks", "gray", "paint"}
    if unknown := sorted(set(content) - known):
        raise ValueError(f"unknown entry {unknown[0][:40]!r}")
    edit = content.get("edit", {})
    if not isinstance(edit, dict) or (set(edit) - {entry.name for entry in fields(Edit)}):
        raise ValueError("edit: an unknown attribute")
    for name in ("hair", "brows", "eyes"):
        if not isinstance(edit.get(name, ""), str):
            raise ValueError(f"edit: {name} is not a text")
    hide = tuple(content.get("hide", ()))
    if not all(name in LAYERS for name in hide):
        raise ValueError(f"hide: expected some of {', '.join(LAYERS)}")
    paint = content.get("paint")
    return Style(
        edit=Edit(**edit),
        hide=hide,
        marks=tuple(_mark(entry) for entry in content.get("marks", ())),
        gray=_unit("gray", content.get("gray", 0.0)),
        paint=None if paint is None else decoded_canvas(base64.b64decode(paint, validate=True), "paint"),
    )


def _mark(entry: Mapping[str, Any]) -> Mark:
    if entry["place"] not in _MARKS:
        raise ValueError(f"marks: expected {', '.join(_MARKS)}, got {str(entry['place'])[:40]!r}")
    color = entry["color"]
    seed = entry.get("seed", 0)
    if len(color) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in color):
        raise ValueError("marks: a color is not three numbers from 0 to 255")
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ValueError("marks: a seed is not a number from 0 to 4294967295")
    return Mark(entry["place"], (color[0], color[1], color[2]), _unit("opacity", entry["opacity"]), seed)


def _unit(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name}: expected 0 to 1")
    return float(value)


@torch.no_grad()
def grayed(avatar: Avatar, amount: float) -> Avatar:
    """Take `amount` of the color out of `avatar`, in place: 1 leaves the luma of every color and of its changes."""
    matrix = (1 - amount) * torch.eye(3) + amount * torch.tensor(_LUMA).expand(3, 3)
    avatar.colors.copy_(avatar.colors @ matrix.T)
    basis = avatar.blendshapes.basis
    basis[..., 7:10] = basis[..., 7:10] @ matrix.T
    for part in avatar.parts.values():
        part.mix_channels(matrix)
    return avatar


def combined(base: Style, other: Style) -> Style:
    """Both styles; single values of `other` win, and its paint lies over that of `base`."""
    edit = replace(base.edit, **{k: v for k, v in other.edit.changes().items() if k != "amount"})
    if len(other.edit.changes()) > 1:
        edit = replace(edit, amount=other.edit.amount)
    hide = tuple(dict.fromkeys((*base.hide, *other.hide)))
    paint = base.paint if other.paint is None else other.paint
    return Style(edit, hide, (*base.marks, *other.marks), other.gray or base.gray, paint)
