"""Text of Face Cap: a line `bs` with names, and a line `k` a frame.

A line `k` has the time in milliseconds (its first line says nanoseconds), the position and the Euler angles of the
head, two angles for each eye, and the weights in the order of the names. Which way the angles turn is not documented.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays

from .named_rows import NamedRows, read_named_rows
from .text import read_rows

_POSE = (
    *(f"head position {axis}" for axis in "xyz"),
    *(f"head angle {axis}" for axis in "xyz"),
    *(f"{side} eye angle {axis}" for side in ("left", "right") for axis in "xy"),
)


def is_face_cap(start: bytes) -> bool:
    """Whether the first bytes of a file are Face Cap's."""
    return start.startswith((b"info,", b"bs,")) and b"\nk," in start + b"\nk," and b"bs," in start


def read_face_cap(path: Path, fps: float | None = None) -> MotionArrays:
    """Read a recording.

    Args:
        path: the text file.
        fps: of no use, since the file has times.

    Raises:
        HeadsplatError: a frame that does not match the names; the message names file and line.
    """
    lines = read_rows(path)
    for line, cells in lines:
        if cells[0] == "bs":
            names = ("time ms", *_POSE, *cells[1:])
            return read_named_rows(NamedRows(path, names, _frames(path, line, len(names), lines)), fps, [])
    raise HeadsplatError(f"{path}: no line of names (bs); export the take again as TXT")


def _frames(
    path: Path, names_at: int, width: int, lines: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[str, list[str]]]:
    for line, cells in lines:
        if cells[0] != "k":
            continue
        if len(cells) != width + 1:
            raise HeadsplatError(
                f"{path}: line {line}: {len(cells) - 1} values, expected {width} by the names in line {names_at}; "
                "the line is truncated or damaged: repair or delete it"
            )
        yield f"{path}: line {line}", cells[1:]
