"""Argument types that several subcommands share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.errors import HeadsplatError

Source = Annotated[Positional[Path], arg(metavar="VIDEO|CAPTURE")]
Out = Annotated[Path, arg(aliases=["-o"], metavar="PATH")]
EMBEDDED = "embedded"  # as avatar.head has it, which loads torch
OptionalHead = Annotated[str | None, arg(metavar="embedded|FILE")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]
OptionalInt = Annotated[int | None, arg(metavar="INT")]
OptionalText = Annotated[str | None, arg(metavar="NAME")]
OptionalFloat = Annotated[float | None, arg(metavar="FLOAT")]

_NAMED_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}


def parse_colour(text: str) -> tuple[float, float, float]:
    """sRGB 0..1 of `white`, `black` or `#rrggbb`; raises HeadsplatError."""
    if text in _NAMED_COLOURS:
        red, green, blue = _NAMED_COLOURS[text]
    elif re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        red, green, blue = bytes.fromhex(text[1:])
    else:
        raise HeadsplatError(f"--background: {text!r} is no colour; give white, black or #rrggbb")
    return red / 255, green / 255, blue / 255


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of `WxH`; raises HeadsplatError."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(0 < int(side) <= 8192 for side in match.groups()):
        raise HeadsplatError(
            f"--size: {text!r} is no size; give WIDTHxHEIGHT in pixels (at most 8192), such as 512x512"
        )
    return int(match[1]), int(match[2])


def parse_frames(text: str, count: int) -> range:
    """Frame positions of `A:B` (Python's slice: either side may be left out) among `count`; raises HeadsplatError."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match:
        raise HeadsplatError(f"--frames: {text!r} is no range; give FIRST:END, such as 0:100 or 50:")
    start, end = (int(side) if side else None for side in match.groups())
    chosen = range(count)[start:end]
    if not chosen:
        raise HeadsplatError(f"--frames: {text} picks none of the {count} frames; give a range inside 0:{count}")
    return chosen


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
