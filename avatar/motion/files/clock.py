"""Times of rows that count seconds, milliseconds or other units, frames, or give the time of day."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError

from .assemble import DEFAULT_FPS, frame_times, note_restart, note_unused_fps, unwrapped
from .text import LARGEST
from .timecode import DAY, Timecode, are_timecodes, row_times

Floats = NDArray[np.floating]

#: Units, what 1 s is in them, and the largest step between two rows that is read as theirs. Slower than 2 s or faster
#: than 500 fps no face is recorded, so that the unit shows in the step; 100 ns are the ticks of .NET.
_UNITS = (
    ("seconds", 1.0, 2.0),
    ("milliseconds", 1e3, 500.0),
    ("microseconds", 1e6, 1.2e5),
    ("units of 100 nanoseconds", 1e7, 2e6),
    ("nanoseconds", 1e9, math.inf),
)
_ENDINGS = (("ms", 1), ("millis", 1), ("milliseconds", 1), ("us", 2), ("micros", 2), ("microseconds", 2), ("ns", 4))
#: Fewer rows do not show a unit: keys of a made motion may be whole seconds apart.
_MIN_ROWS = 10
#: No clock reaches more.
_LARGEST = 1e20
#: Seconds a row above which a note is due.
_SLOW = 1 / 3
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)")
_TIME_NAME = re.compile(
    r"(t|time|timestamp|timecode|clock|elapsed|elapsedtime)"
    r"(s|sec|secs|seconds|ms|millis|milliseconds|us|micros|microseconds|ns|nanoseconds)?"
    r"|sec|secs|seconds|ms|millis|milliseconds|smpte"
)
_FRAME_NAME = re.compile(r"(frame|index)(s|index|number|num|id|no|count)?|idx|")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", re.split(r"[.:/|]", name.strip().lower())[-1])


def clock_column(names: Sequence[str]) -> int | None:
    """The column of the times of the rows: seconds and other units first, then frame numbers; None: there is none."""
    times = (place for place, name in enumerate(names) if _TIME_NAME.fullmatch(_plain(name)))
    frames = (place for place, name in enumerate(names) if is_frame_number(name))
    return next(times, next(frames, None))


def is_frame_number(name: str) -> bool:
    """Whether a column has frame numbers by its name."""
    plain = _plain(name)
    return bool(_FRAME_NAME.fullmatch(plain)) and bool(plain or not name.strip())


def is_clock(name: str) -> bool:
    """Whether a column has times or frame numbers by its name."""
    return bool(_TIME_NAME.fullmatch(_plain(name))) or is_frame_number(name)


def clock_times(
    cells: Sequence[Any],
    places: Sequence[str],
    name: str,
    path: Path,
    fps: float | None,
    notes: list[str],
    stated: float | None = None,
) -> Floats:
    """Times of rows from the cells of their column: timecodes, times of day, or numbers; see `times_of`.

    Args:
        cells: [T] texts or numbers.
        places: [T] starts of error messages about a row.
        name: of the column or key.
        path: for error messages.
        fps: frames per second of the rows, as `times_of` and `row_times` use it.
        notes: notes are appended.
        stated: frames per second that the file has; None: 30.

    Returns:
        Seconds [T].

    Raises:
        HeadsplatError: a cell that is no time, or times that no take has.
    """
    if are_timecodes([str(cell) for cell in cells]):
        return row_times([Timecode.of(str(cell), place) for cell, place in zip(cells, places, strict=True)], fps, notes)
    time = np.array([time_value(cell, place) for cell, place in zip(cells, places, strict=True)])
    if cells and _CLOCK.fullmatch(str(cells[0]).strip()):
        time = unwrapped(time, DAY)
    return times_of(time, name, str(path), fps, notes, stated)


def is_time(text: str) -> bool:
    """Whether a text is a number or a time of day."""
    try:
        time_value(text, "")
    except HeadsplatError:
        return False
    return True


def time_value(cell: Any, where: str) -> float:
    """The number in a cell, or seconds of a time of day.

    Raises:
        HeadsplatError: no time; the message begins with `where`.
    """
    text = str(cell).strip()[:64]
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
        if abs(value) <= _LARGEST:
            return value
    except ValueError:
        if found := _CLOCK.fullmatch(text):
            return 3600 * int(found[1] or 0) + 60 * int(found[2]) + float(found[3].replace(",", "."))
        try:
            date = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))
            return date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp()
        except (ValueError, OverflowError):
            pass
    raise HeadsplatError(f"{where}: {text[:40]!r} is not a time; repair or remove it")


def times_of(
    values: Floats, name: str, where: str, fps: float | None, notes: list[str], stated: float | None = None
) -> Floats:
    """Times of rows from the numbers in their column; appends notes on their unit and on what looks wrong.

    Args:
        values: [T] times in any unit, or frame numbers.
        name: of the column or key.
        where: start of error messages.
        fps: frames per second of frame numbers; None: `stated`.
        notes: notes are appended.
        stated: frames per second that the file has; None: 30.

    Returns:
        Seconds [T].

    Raises:
        HeadsplatError: times of more than eleven days.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return values
    steps = np.diff(np.sort(values))  # rows may be in any order
    forward = steps[steps > 0]
    title = name.strip() or "the first column"
    if len(values) >= _MIN_ROWS and not steps.any():
        rate = fps or stated or DEFAULT_FPS
        notes.append(f"all rows have the same {title}: they are taken in their order at {rate:g} fps (--motion-fps)")
        return np.arange(len(values)) / rate
    counts = bool(len(forward)) and bool((steps == np.round(steps)).all()) and (forward == 1).mean() > 0.5
    if is_frame_number(name) or (counts and len(values) >= _MIN_ROWS):
        if not is_frame_number(name):
            notes.append(f"{title} advances 1 a row: read as the number of the frame, not as a time")
        seconds = frame_times(values - values.min(initial=math.inf), fps, notes, stated=stated)
        return _limited(seconds, f"{where}: {title}")
    unit = _unit_of_name(name)
    step = float(np.median(forward)) if len(forward) else 0.0
    if len(values) >= _MIN_ROWS and step:
        unit = next(place for place, (_, _, most) in enumerate(_UNITS) if step <= most)
    unit_name, size, _ = _UNITS[unit]
    seconds = values / size
    if unit:
        notes.append(f"{title} advances {step:.4g} a row: read as {unit_name}")
        seconds -= seconds.min()
    note_unused_fps(fps, notes)
    if len(values) >= _MIN_ROWS and step / size > _SLOW:
        notes.append(
            f"{title} advances {step / size:.3g} s a row, slower than any face is recorded: if the rows are the frames "
            "of a film, remove it and give their rate with --motion-fps"
        )
    if np.abs(seconds).max(initial=0.0) > LARGEST:
        seconds -= seconds.min()  # seconds since 1970
    note_restart(seconds, notes)
    return _limited(seconds, f"{where}: {title}")


def _limited(seconds: Floats, where: str) -> Floats:
    if seconds.max(initial=0.0) > LARGEST:
        raise HeadsplatError(f"{where}: reaches {seconds.max():.3g} s, which no take lasts; export it again")
    return seconds


def _unit_of_name(name: str) -> int:
    plain = _plain(name)
    return next((unit for ending, unit in _ENDINGS if plain.endswith(ending)), 0)
