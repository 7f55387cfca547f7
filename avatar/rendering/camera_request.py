"""What `--camera` may say; torch is not needed to read it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avatar.errors import HeadsplatError

Kind = Literal["capture", "front", "orbit", "dolly", "file"]
#: Degrees to each side: filmed from the front and turning its own head too, a face has been seen little further round.
ORBIT_DEGREES, ORBIT_SECONDS = 20.0, 8.0
#: Nearest distance of a dolly against where it starts.
DOLLY_SHARE, DOLLY_SECONDS = 0.7, 8.0
_FULL_TURN = 360.0


@dataclass(frozen=True)
class CameraRequest:
    """A kind of camera and its numbers."""

    kind: Kind = "capture"
    amount: float = 0.0  # orbit: degrees to each side, or 360 for round and round; dolly: share of the distance
    period: float = 1.0  # seconds until it is where it was
    path: Path | None = None  # of kind "file"

    @property
    def goes_round(self) -> bool:
        """Whether an orbit turns on and on instead of swinging."""
        return self.amount == _FULL_TURN

    @property
    def words(self) -> str:
        """The request as it may be given again."""
        if self.kind == "file":
            return str(self.path)
        return f"{self.kind}:{self.amount:g},{self.period:g}" if self.kind in ("orbit", "dolly") else self.kind


def parse_camera(text: str) -> CameraRequest:
    """The camera that `text` asks for: capture, front, orbit[:DEGREES[,SECONDS]], dolly[:SHARE[,SECONDS]] or a file.

    Raises:
        HeadsplatError: none of these, a number that cannot be, or a file that is not there.
    """
    kind, _, numbers = text.partition(":")
    if text in ("capture", "front"):
        return CameraRequest(kind)  # type: ignore[arg-type]
    if kind == "orbit":
        degrees, seconds = _numbers(text, numbers, ORBIT_DEGREES, ORBIT_SECONDS)
        if not (0 < degrees <= 180 or degrees == _FULL_TURN):
            raise HeadsplatError(
                f"--camera: {text!r} turns by {degrees:g} degrees; give 0 to 180 to each side, or 360 to go round"
            )
        return CameraRequest("orbit", degrees, seconds)
    if kind == "dolly":
        share, seconds = _numbers(text, numbers, DOLLY_SHARE, DOLLY_SECONDS)
        if not 0.3 <= share <= 3:
            raise HeadsplatError(
                f"--camera: {text!r} moves to {share:g} of the distance; give 0.3 to 3, less than 1 to come nearer"
            )
        return CameraRequest("dolly", share, seconds)
    if not text.endswith(".json"):
        raise HeadsplatError(
            f"--camera: {text!r} is no camera; give capture, front, orbit, orbit:DEGREES, dolly, or a .json file"
        )
    if not Path(text).is_file():
        raise HeadsplatError(f"--camera: {text}: no such file; check its path")
    return CameraRequest("file", path=Path(text))


def _numbers(text: str, numbers: str, amount: float, seconds: float) -> tuple[float, float]:
    """The amount and the period after the colon, or these defaults."""
    parts = numbers.split(",") if numbers else []
    try:
        given = [float(part) for part in parts]
    except ValueError:
        given = [math.nan]
    if len(given) > 2 or not all(map(math.isfinite, given)):
        raise HeadsplatError(
            f"--camera: {text!r} has no numbers to use; give one or two, such as orbit:40 or orbit:40,6"
        )
    amount, seconds = (*given, *(amount, seconds)[len(given) :])
    if not 0.1 <= seconds <= 3600:
        raise HeadsplatError(f"--camera: {text!r} takes {seconds:g} seconds; give 0.1 to 3600")
    return amount, seconds
