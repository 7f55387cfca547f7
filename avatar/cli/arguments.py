"""The width of the help, and texts of poses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from avatar.errors import HeadsplatError
from avatar.jobs.parsing import parse_number

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


def parse_weights(pairs: Sequence[str]) -> dict[str, float]:
    """Parse `NAME=WEIGHT` arguments to weights by name; the last of duplicates is used.

    Raises:
        HeadsplatError: not a weight.
    """
    weights = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        weight = parse_number(text)
        if not name or weight is None:
            raise HeadsplatError(f"--expression: {pair!r} is not a weight; give NAME=WEIGHT, such as jawOpen=0.5")
        weights[name] = weight
    return weights


def parse_angles(text: str) -> tuple[float, float, float]:
    """Parse `YAW,PITCH,ROLL` to three angles in degrees.

    Raises:
        HeadsplatError: not three numbers.
    """
    angles = [parse_number(part) for part in text.split(",")]
    yaw, pitch, roll = angles if len(angles) == 3 else (None, None, None)
    if yaw is None or pitch is None or roll is None:
        raise HeadsplatError(
            f"--head-pose: {text!r} is not a rotation; give YAW,PITCH,ROLL in degrees, such as --head-pose -20,5,0"
        )
    return yaw, pitch, roll
