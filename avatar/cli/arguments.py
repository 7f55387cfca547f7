"""Argument types and parsers shared by subcommands."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.progress import say
from avatar.common.frame_rate import MAX_FPS
from avatar.common.jsonable import counted
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import torch


Source = Annotated[Positional[Path], arg(metavar="VIDEO|CAPTURE")]
Out = Annotated[Path, arg(aliases=["-o"], metavar="PATH")]
EMBEDDED = "embedded"  # as in avatar.head, whose import loads torch
# `typing.Optional`: tyro checks a default of type `X | None` by typeguard, whose import takes 30 ms.
OptionalHead = Annotated[Optional[str], arg(metavar="embedded|FILE")]  # noqa: UP045
OptionalPath = Annotated[Optional[Path], arg(metavar="PATH")]  # noqa: UP045
OptionalInt = Annotated[Optional[int], arg(metavar="INT")]  # noqa: UP045
OptionalText = Annotated[Optional[str], arg(metavar="NAME")]  # noqa: UP045
Device = Annotated[str, arg(metavar="auto|cpu|cuda[:N]")]
OptionalFloat = Annotated[Optional[float], arg(metavar="FLOAT")]  # noqa: UP045
#: Frames per second.
OptionalFps = Annotated[OptionalFloat, Between(0.01, MAX_FPS)]
#: Of random numbers.
SEED = Between(0, 2**32 - 1)
#: Longer side of images in pixels.
SIDE = Between(32, 4096)
#: Seconds until something ends, at most a year.
DURATION = Between(0, 31_536_000, above=True)
#: Seconds of a smoothing window.
MAX_WINDOW = 10
HeldOutFraction = Annotated[OptionalFloat, Between(0, 0.9)]
HeldOutYaw = Annotated[OptionalFloat, Between(1, 60)]
HeldOutEvery = Annotated[OptionalInt, Between(2, 1_000_000)]
#: Landmark passes per frame.
PASSES = Between(1, 64)
#: For `avatar.jobs.appearance`.
AppearanceName = Annotated[str | None, arg(metavar="NAME|NAME=.7,OTHER=.3")]
#: For `parse_gain`; several options are combined.
Gain = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=FACTOR,...")]

#: For `avatar.cli.recording`; one option per file.
Record = Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="PATH")]
#: Narrower terminals get help of this width.
_MIN_COLUMNS = 40


@contextmanager
def readable_width() -> Iterator[None]:
    """Widen a terminal of fewer columns for the help: tyro's layout does not end where no word fits."""
    before = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns < _MIN_COLUMNS:
        os.environ["COLUMNS"] = str(_MIN_COLUMNS)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS", None)
        if before is not None:
            os.environ["COLUMNS"] = before


def parse_size(text: str, maximum: int) -> tuple[int, int]:
    """Parse `WxH`, or one number for a square, to (width, height).

    Raises:
        HeadsplatError: not a size, or a side of 0 or above `maximum`.
    """
    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (0 < width <= maximum and 0 < height <= maximum):
        raise HeadsplatError(
            f"--size: {text!r} is not a size; give WIDTHxHEIGHT in pixels (at most {maximum}), such as 540x720, or "
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


def chosen_frames(span: slice, count: int) -> range:
    """The positions of `span` among `count` frames; prints a message if it extends past them.

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
        factor = _number(text)
        if not name or factor is None:
            raise HeadsplatError(f"{option}: {part!r} is not a factor; give NAME=NUMBER, such as mouth=1.2,head=0.5")
        if name in factors:
            raise HeadsplatError(f"{option}: {name} is given twice; give one factor for it")
        factors[name] = factor
    return factors


def parse_weights(pairs: Sequence[str]) -> dict[str, float]:
    """Parse `NAME=WEIGHT` arguments to weights by name; the last of duplicates is used.

    Raises:
        HeadsplatError: not a weight.
    """
    weights = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        weight = _number(text)
        if not name or weight is None:
            raise HeadsplatError(f"--expression: {pair!r} is not a weight; give NAME=WEIGHT, such as jawOpen=0.5")
        weights[name] = weight
    return weights


def parse_angles(text: str) -> tuple[float, float, float]:
    """Parse `YAW,PITCH,ROLL` to three angles in degrees.

    Raises:
        HeadsplatError: not three numbers.
    """
    angles = [_number(part) for part in text.split(",")]
    yaw, pitch, roll = angles if len(angles) == 3 else (None, None, None)
    if yaw is None or pitch is None or roll is None:
        raise HeadsplatError(
            f"--head-pose: {text!r} is not a rotation; give YAW,PITCH,ROLL in degrees, such as --head-pose -20,5,0"
        )
    return yaw, pitch, roll


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


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
