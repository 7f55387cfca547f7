"""The partial file of a recorded motion: lines of text that are appended, in any expression space.

Line 1 is `# headsplat-recording` and JSON (version, axes, units, joints, space, names), line 2 has the names of the
columns. Every other line is a sample: time (s), confidence, the weights [E], axis-angle rotations of the joints [5,3]
(radians), and the head's translation [3] (meters). Single-precision numbers have nine digits, so that none is rounded.
Samples are of a live source, so that the resting face is to be found in them.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.types import JOINT_NAMES

from .stored import AXES, UNITS
from .text import LARGEST

MAGIC = "# headsplat-recording "
VERSION = 1
_MAX_HEADER = 1 << 20  # bytes
_POSE = (
    *(f"{joint}_{axis}" for joint in JOINT_NAMES for axis in "xyz"),
    *(f"translation_{axis}" for axis in "xyz"),
)
_REMEDY = "repair or delete the line"


def header_lines(names: tuple[str, ...], space: str) -> bytes:
    """The first two lines for samples with expressions `names` of a `space`."""
    header = {
        "version": VERSION, "axes": AXES, "units": UNITS, "joints": list(JOINT_NAMES), "space": space,
        "names": list(names),
    }  # fmt: skip
    columns = io.StringIO()
    csv.writer(columns, lineterminator="\n").writerow(
        ["time", "confidence", *(" ".join(name.split()) for name in names), *_POSE]
    )
    return f"{MAGIC}{json.dumps(header)}\n{columns.getvalue()}".encode()


def sample_line(time: float, values: NDArray[np.float32]) -> bytes:
    """The line of a sample.

    Args:
        time: seconds after the first sample.
        values: [1+E+18] confidence, weights, joint rotations, translation; finite.
    """
    return ",".join([repr(float(time)), *map("{:.9g}".format, values.tolist())]).encode() + b"\n"


def is_journal(start: bytes) -> bool:
    """Whether a file that begins with `start` is such a file."""
    return start.startswith(MAGIC.encode())


def read_journal(path: Path) -> MotionArrays:
    """Read the samples so far; an incomplete last line is left out. Frames without a face repeat the last one with one.

    Raises:
        HeadsplatError: damaged, of a newer version, or without a face; the message names the file.
    """
    with path.open("rb") as stream:
        names, space = _header(path, stream)
        stream.readline(_MAX_HEADER)
        table = _table(path, stream, 2 + len(names) + len(_POSE))
    if not (table[:, 1] > 0).any():
        raise HeadsplatError(f"{path}: no line has a face; record the take again")
    if not (np.abs(table) <= LARGEST).all() or not (np.diff(table[:, 0]) > 0).all():
        raise HeadsplatError(f"{path}: a value that is too large, or times that do not increase; {_REMEDY}")
    return _motion(names, space, table)


def _motion(names: tuple[str, ...], space: str, table: NDArray[np.float64]) -> MotionArrays:
    """The motion of a table [T,2+E+18] with at least one face."""
    count = len(table)
    tracked = table[:, 1] > 0
    held = np.maximum.accumulate(np.where(tracked, np.arange(count), int(np.argmax(tracked))))
    values = table[held, 2:].astype(np.float32)
    poses = len(names) + 3 * len(JOINT_NAMES)
    return MotionArrays(
        time=table[:, 0] - table[0, 0],
        names=names,
        weights=np.ascontiguousarray(values[:, : len(names)]),
        space=space,
        joint_rot=values[:, len(names) : poses].reshape(count, len(JOINT_NAMES), 3),
        translation=np.ascontiguousarray(values[:, poses:]),
        confidence=None if (table[:, 1] == 1).all() else table[:, 1].astype(np.float32),
    )


def _table(path: Path, stream: IO[bytes], columns: int) -> NDArray[np.float64]:
    """The numbers [T,columns] of the complete lines."""
    lines = (line.decode("ascii") for line in stream if line.endswith(b"\n"))
    try:
        if (first := next(lines, None)) is None:
            return np.zeros((0, columns))
        table = np.loadtxt(itertools.chain([first], lines), delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        raise HeadsplatError(f"{path}: a line is damaged ({str(error)[:80]}); {_REMEDY}") from error
    if table.shape[1] != columns:
        raise HeadsplatError(f"{path}: {table.shape[1]} columns, the header has {columns}; record the take again")
    return table


def _header(path: Path, stream: IO[bytes]) -> tuple[tuple[str, ...], str]:
    """The names of the expressions and their space."""
    try:
        header = json.loads(stream.readline(_MAX_HEADER).removeprefix(MAGIC.encode()))
        version = header["version"]
        names = header["names"]
        space = header["space"]
        valid = isinstance(space, str) and isinstance(names, list) and all(isinstance(name, str) for name in names)
        valid = valid and len(set(names)) == len(names) and header["joints"] == list(JOINT_NAMES)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeadsplatError(f"{path}: line 1: damaged ({str(error)[:80]}); record the take again") from error
    if type(version) is not int or version > VERSION:
        raise HeadsplatError(
            f"{path}: version {str(version)[:20]!r}, this headsplat reads up to {VERSION}; update headsplat"
        )
    if not valid:
        raise HeadsplatError(f"{path}: line 1: names, joints or space are not valid; record the take again")
    return tuple(names), space
