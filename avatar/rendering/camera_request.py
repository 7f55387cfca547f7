"""Parsing of `--camera`. Importing this module does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avatar.errors import HeadsplatError

Kind = Literal["capture", "front", "orbit", "dolly", "file"]
#: Degrees to each side: a video from the front, in which the head turns too, shows little more of a face.
ORBIT_DEGREES = 20.0
ORBIT_SECONDS = 8.0
#: Nearest distance of a dolly relative to its start.
DOLLY_DISTANCE = 0.7
DOLLY_SECONDS = 8.0
_FULL_TURN = 360.0


@dataclass(frozen=True)
class CameraRequest:
    """A kind of camera with its parameters."""

    kind: Kind = "capture"
    amount: float = 0.0  # orbit: degrees to each side, or 360 for full turns; dolly: relative distance
    period: float = 1.0  # seconds of one cycle
    path: Path | None = None  # of kind "file"

    @property
    def is_full_turn(self) -> bool:
        """Whether an orbit turns in one direction instead of swinging."""
        return self.amount == _FULL_TURN


def parse_camera(text: str) -> CameraRequest:
    """Parse capture, front, orbit[:DEGREES[,SECONDS]], dolly[:DISTANCE[,SECONDS]] or the path of a .json file.

    Raises:
        HeadsplatError: the text is none of these, a number is out of range, or the file does not exist.
    """
    kind, _, numbers = text.partition(":")
    if text in ("capture", "front"):
        return CameraRequest(kind)  # type: ignore[arg-type]
    if kind == "orbit":
        degrees, seconds = _numbers(text, numbers, ORBIT_DEGREES, ORBIT_SECONDS)
        if not (0 < degrees <= 180 or degrees == _FULL_TURN):
            raise HeadsplatError(
                f"--camera: {text!r} turns by {degrees:g} degrees; give 0 to 180 to each side, or 360 for full turns"
            )
        return CameraRequest("orbit", degrees, seconds)
    if kind == "dolly":
        distance, seconds = _numbers(text, numbers, DOLLY_DISTANCE, DOLLY_SECONDS)
        if not 0.3 <= distance <= 3:
            raise HeadsplatError(
                f"--camera: {text!r} moves to {distance:g} times the distance; give 0.3 to 3, less than 1 is closer"
            )
        return CameraRequest("dolly", distance, seconds)
    if not text.endswith(".json"):
        raise HeadsplatError(
            f"--camera: {text!r} is not a camera; give capture, front, orbit, orbit:DEGREES, dolly, or a .json file"
        )
    if not Path(text).is_file():
        raise HeadsplatError(f"--camera: {text}: no such file; check the path")
    return CameraRequest("file", path=Path(text))


def _numbers(text: str, numbers: str, amount: float, seconds: float) -> tuple[float, float]:
    """The amount and the period of the text after the colon, with defaults for missing ones."""
    parts = numbers.split(",") if numbers else []
    try:
        given = [float(part) for part in parts]
    except ValueError:
        given = [math.nan]
    if len(given) > 2 or not all(map(math.isfinite, given)):
        raise HeadsplatError(
            f"--camera: {text!r} needs one or two numbers after the colon, such as orbit:40 or orbit:40,6"
        )
    amount, seconds = (*given, *(amount, seconds)[len(given) :])
    if not 0.1 <= seconds <= 3600:
        raise HeadsplatError(f"--camera: {text!r} takes {seconds:g} seconds; give 0.1 to 3600")
    return amount, seconds
