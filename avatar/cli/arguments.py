"""Argument types that several subcommands share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.progress import say
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError

Source = Annotated[Positional[Path], arg(metavar="VIDEO|CAPTURE")]
Out = Annotated[Path, arg(aliases=["-o"], metavar="PATH")]
EMBEDDED = "embedded"  # as avatar.head has it, which loads torch
OptionalHead = Annotated[str | None, arg(metavar="embedded|FILE")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]
OptionalInt = Annotated[int | None, arg(metavar="INT")]
OptionalText = Annotated[str | None, arg(metavar="NAME")]
OptionalFloat = Annotated[float | None, arg(metavar="FLOAT")]
#: Of `parse_gain`; said several times it adds up, so that nothing is lost in silence.
Gain = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=FACTOR,...")]

#: Of `avatar.cli.recording`: said once for each file.
Record = Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="PATH")]


def parse_size(text: str, most: int) -> tuple[int, int]:
    """(width, height) of `WxH`, or of one number for a square, each at most `most`; raises HeadsplatError."""
    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (0 < width <= most and 0 < height <= most):
        raise HeadsplatError(
            f"--size: {text!r} is no size; give WIDTHxHEIGHT in pixels (at most {most}), such as 540x720, or one "
            "number for a square"
        )
    return width, height


def parse_frames(text: str | None) -> slice:
    """The frames of `A:B`, the end left out and either side optional; all of them for None; raises HeadsplatError."""
    match = re.fullmatch(r"(\d*):(\d*)", text or ":")
    if not match:
        raise HeadsplatError(f"--frames: {text!r} is no range; give FIRST:END, such as 0:100 or 50:")
    start, end = (int(side) if side else None for side in match.groups())
    if end is not None and end <= (start or 0):
        raise HeadsplatError(f"--frames: {text} picks no frame, the end is left out; give FIRST:END, such as 0:100")
    return slice(start, end)


def chosen_frames(span: slice, count: int) -> range:
    """The positions of `span` among `count` frames; says where it reaches past them, raises HeadsplatError for none."""
    chosen = range(count)[span]
    text = ":".join("" if side is None else str(side) for side in (span.start, span.stop))
    if not chosen:
        raise HeadsplatError(
            f"--frames: {text} picks none of the {counted(count, 'frame')}; give a range inside 0:{count}"
        )
    if span.stop is not None and span.stop > count:
        say(f"--frames: {text} reaches past the {counted(count, 'frame')}: {chosen.start}:{count} is taken")
    return chosen


def parse_gain(entries: Sequence[str]) -> dict[str, float]:
    """Factors by name of `mouth=1.2,head=0.5`, in one entry or several; raises HeadsplatError."""
    factors: dict[str, float] = {}
    for part in (part for entry in entries for part in entry.split(",")):
        name, _, text = part.partition("=")
        name, factor = name.strip(), _number(text)
        if not name or factor is None:
            raise HeadsplatError(f"--gain: {part!r} is no factor; give NAME=NUMBER, such as mouth=1.2,head=0.5")
        if name in factors:
            raise HeadsplatError(f"--gain: {name} is there twice; give one factor for it")
        factors[name] = factor
    return factors


def parse_weights(pairs: Sequence[str]) -> dict[str, float]:
    """Weights by name of `NAME=WEIGHT` arguments; of a name given twice the last counts; raises HeadsplatError."""
    weights = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        weight = _number(text)
        if not name or weight is None:
            raise HeadsplatError(f"--expression: {pair!r} is no weight; give NAME=WEIGHT, such as jawOpen=0.5")
        weights[name] = weight
    return weights


def parse_angles(text: str) -> tuple[float, float, float]:
    """Three angles in degrees of `YAW,PITCH,ROLL`; raises HeadsplatError."""
    angles = [_number(part) for part in text.split(",")]
    yaw, pitch, roll = angles if len(angles) == 3 else (None, None, None)
    if yaw is None or pitch is None or roll is None:
        raise HeadsplatError(
            f"--head-pose: {text!r} is no turn; give YAW,PITCH,ROLL in degrees, such as --head-pose -20,5,0"
        )
    return yaw, pitch, roll


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
