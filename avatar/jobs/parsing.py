"""Texts of options that jobs and commands share: sizes, frames, factors, devices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import torch


def parse_size(text: str, maximum: int, option: str = "--size") -> tuple[int, int]:
    """Parse the `WxH` of an option, or one number for a square, to (width, height).

    Raises:
        HeadsplatError: not a size, or a side of 0 or above `maximum`.
    """
    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (0 < width <= maximum and 0 < height <= maximum):
        raise HeadsplatError(
            f"{option}: {text!r} is not a size; give WIDTHxHEIGHT in pixels (at most {maximum}), such as 540x720, or "
            "one number for a square"
        )
    return width, height


def parse_frames(text: str | None) -> slice:
    """Parse `A:B` to a slice; B is exclusive, both are optional; None is all frames.

    Raises:
        HeadsplatError: not a range, or an empty one.
    """
    match = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text or ":")
    if not match:
        raise HeadsplatError(f"--frames: {text!r} is not a range; give FIRST:END, such as 0:100 or 50:")
    start, end = (int(side) if side else None for side in match.groups())
    if end is not None and end <= (start or 0):
        raise HeadsplatError(f"--frames: {text} selects no frame, END is exclusive; give FIRST:END, such as 0:100")
    return slice(start, end)


def chosen_frames(span: slice, count: int, say: Callable[[str], None]) -> range:
    """The positions of `span` among `count` frames; `say` receives a message if it extends past them.

    Raises:
        HeadsplatError: the span contains no frame.
    """
    chosen = range(count)[span]
    text = ":".join("" if side is None else str(side) for side in (span.start, span.stop))
    if not chosen:
        raise HeadsplatError(
            f"--frames: {text} selects none of the {counted(count, 'frame')}; give a range inside 0:{count}"
        )
    if span.stop is not None and span.stop > count:
        say(f"--frames: {text} extends past the {counted(count, 'frame')}: {chosen.start}:{count} is used")
    return chosen


def parse_gain(entries: Sequence[str], option: str = "--gain") -> dict[str, float]:
    """Parse entries such as `mouth=1.2,head=0.5` of an option to factors by name.

    Raises:
        HeadsplatError: not a factor, or a duplicate name.
    """
    factors: dict[str, float] = {}
    for part in (part for entry in entries for part in entry.split(",")):
        name, _, text = part.partition("=")
        name = name.strip()
        factor = parse_number(text)
        if not name or factor is None:
            raise HeadsplatError(f"{option}: {part!r} is not a factor; give NAME=NUMBER, such as mouth=1.2,head=0.5")
        if name in factors:
            raise HeadsplatError(f"{option}: {name} is given twice; give one factor for it")
        factors[name] = factor
    return factors


def requested_device(name: str) -> torch.device:
    """The device for --device.

    Raises:
        HeadsplatError: an unknown name, or a GPU that native kernels cannot use.
    """
    from avatar.ops.devices import chosen_device

    try:
        return chosen_device(name)
    except HeadsplatError as error:
        raise HeadsplatError(f"--{error}") from error


def parse_number(text: str) -> float | None:
    """The finite number that `text` is; None: it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
