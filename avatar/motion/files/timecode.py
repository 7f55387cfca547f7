"""Timecodes HH:MM:SS:FF: how many frames they count in a second, and the times of the rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError

from .assemble import unwrapped

Floats = NDArray[np.floating]

#: The app's timecodes count 60 frames per second at any camera rate.
TICKS = 60
DAY = 86400.0

#: HH:MM:SS:FF, HH:MM:SS;FF and HH:MM:SS.FF; with another count of digits, what follows a point is a decimal fraction.
_TIMECODE = re.compile(r"([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:([:;])([0-9]{1,3}(?:[.,][0-9]*)?)|[.]([0-9]{2}))")
#: Bases that one boundary between two seconds can show; others need several.
_USUAL = (10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 100, 120, 240, 1000)
#: Base of timecodes that leave out numbers (HH:MM:SS;FF) -> how many a minute: 29.97 and 59.94 frames per second.
_DROPPED = {30: 2, 60: 4}
#: Fewer rows do not show a base other than the app's; with fewer than the second, the base hardly matters.
_MIN_ROWS = 10
_FEW_ROWS = 4
#: Rows per second below which a base other than the app's is not inferred: holes may end with the seconds by chance.
_MIN_RATE = 8
#: Share of the seconds, or of the steps, that must agree.
_AGREEING = 0.8
#: Frames per second below which no face is recorded.
_SLOW = 3.0


@dataclass(frozen=True)
class Timecode:
    """A timecode; the frame has a fraction in the app's files."""

    text: str
    second: int  # of the day
    frame: float
    fraction: bool  # whether the frame has a fraction, as in the app's files
    drops: bool  # whether frame numbers are left out to follow the clock (HH:MM:SS;FF)
    where: str  # start of an error message about it

    @staticmethod
    def of(text: str, where: str) -> Timecode:
        """Parse a cell.

        Raises:
            HeadsplatError: not a timecode.
        """
        found = _TIMECODE.fullmatch(text.strip())
        hours, minutes, seconds = (int(found[k]) for k in (1, 2, 3)) if found else (24, 0, 0)
        if not found or hours >= 24 or minutes >= 60 or seconds >= 60:
            raise _invalid(text, where)
        frame = (found[5] or found[6]).replace(",", ".")
        second = hours * 3600 + minutes * 60 + seconds
        return Timecode(text, second, float(frame), "." in frame, found[4] == ";", where)


def _invalid(text: str, where: str) -> HeadsplatError:
    return HeadsplatError(f"{where}: {text[:40]!r} is not a timecode HH:MM:SS:FF.fff; repair or delete the line")


@dataclass(frozen=True)
class _Base:
    """What the rows show of the frames that a second counts."""

    base: int
    step: float | None  # frames between rows, median; None: too few rows in each second
    seconds: int  # boundaries between seconds that show the base; 0: assumed


def are_timecodes(cells: Sequence[str]) -> bool:
    """Whether the cells of a column are timecodes; after a point only where the rows show the frames of a second."""
    found = [_TIMECODE.fullmatch(cell.strip()) for cell in cells]
    known = next((code for code in found if code), None)
    if known is None or known[6] is None:
        return known is not None
    if not all(code and code[6] for code in found):
        return False
    codes = [Timecode.of(cell, "") for cell in cells]
    base = _infer(np.array([code.second for code in codes]), np.array([code.frame for code in codes]))
    return base.seconds > 0 and base.base < TICKS


def row_times(codes: Sequence[Timecode], fps: float | None, notes: list[str]) -> Floats:
    """Times of the rows of a file; appends notes on the base and on timecodes that do not fit.

    Args:
        codes: T timecodes in the order of the rows.
        fps: the rate of the rows, which wins over the timecodes; None: by the timecodes.
        notes: notes are appended.

    Returns:
        Seconds [T], continuous over midnight.

    Raises:
        HeadsplatError: a frame number that no base explains.
    """
    if not codes:
        return np.zeros(0)
    second = np.array([code.second for code in codes])
    frame = np.array([code.frame for code in codes])
    drops = all(code.drops for code in codes)
    found = _infer(second, frame)
    if drops and not found.seconds and frame.max() < 30:
        found = _Base(30, found.step, 1)
    drops = drops and (found.base == 30 or (found.base == 60 and found.step == 1))
    if fps is not None and not _has_rate(found, fps):
        notes.append(
            f"the {len(codes)} rows have the given {fps:g} fps, in their order; the file's timecodes are not used"
        )
        return np.arange(len(codes)) / fps
    most = TICKS + (found.seconds > 0 and frame.min() >= 1)  # some count from 1
    if found.base == TICKS and (over := frame >= most).any():
        wrong = codes[int(np.argmax(over))]
        if over.sum() > 1 and over.mean() > 0.02:
            raise HeadsplatError(
                f"{wrong.where}: {wrong.text}: the timecodes do not show how many frames a second counts; give the "
                "rate of the rows with --motion-fps"
            )
        raise _invalid(wrong.text, wrong.where)
    if fps is None and len(codes) >= _MIN_ROWS and (second == second[0]).all() and (frame == frame[0]).all():
        notes.append(
            f"all rows have the timecode {codes[0].text}: they are taken in their order at {TICKS // 2} fps, assumed; "
            "give another rate with --motion-fps"
        )
        return np.arange(len(codes)) / (TICKS // 2)
    time = unwrapped(_seconds(second, frame, found, drops), DAY)
    if fps is None:
        notes += _base_notes(found, codes)
    else:
        notes.append(f"the timecodes count {found.base} frames per second; the rows have the given {fps:g} fps")
        time = time * (_nominal(found) / fps) / (1.001 if drops else 1.0)
    notes += _problems(time)
    return time


def _infer(second: NDArray[np.int64], frame: Floats) -> _Base:
    """The base by the steps between the rows of a second and the last frame before the next second."""
    order = np.lexsort((frame, second))
    seconds = second[order]
    frames = np.floor(frame[order])
    advance = np.diff(seconds)
    forward = (advance == 0) & (np.diff(frames) > 0)
    inside = np.diff(frames)[forward]
    border = np.flatnonzero(advance == 1)
    if len(inside) < 2:
        return _Base(TICKS, None, 0)
    step = float(np.median(inside))
    if len(order) < _MIN_ROWS or not len(border):
        return _Base(TICKS, step, 0)
    even = np.abs(inside - step) <= max(1.0, 0.25 * step)
    # What follows the point may be the number of the row, of missing ones too (Face Landmark Link).
    numbers = np.diff(_thousandths(frame[order]))
    if (numbers[forward] == inside).mean() >= _AGREEING:
        counted = numbers[border] + frames[border] - frames[border + 1]
        if np.median(counted) in _USUAL and (counted == np.median(counted)).mean() >= _AGREEING:
            return _Base(int(np.median(counted)), step, len(border))
    # Between a last frame of a second and the first one of the next there is one step, where no row is missing.
    shown = step + frames[border] - frames[border + 1]
    base = _snapped(float(np.median(shown)), step)
    if 0 <= frames.max() - base <= max(1.0, step) and not frames.min():
        base = _snapped(frames.max() + 1, 1.0)  # the last frame of a second is missing in most of them
    agreeing = np.abs(shown - base) <= max(1.0, step)
    last = int(frames.max()) + 1
    if agreeing.mean() < _AGREEING and step == 1 and last in _USUAL and not frames.min():
        ends = int((frames[border] == last - 1).sum())
        if ends >= 2:  # missing rows hide the base at other borders
            return _Base(last, step, ends)
    if base == TICKS or even.mean() < _AGREEING or agreeing.mean() < _AGREEING:
        fitting = int((np.abs(shown - TICKS) <= max(1.0, step)).sum())
        return _Base(TICKS, float(np.median(np.diff(frame[order])[forward])), fitting)
    plausible = base / step >= _MIN_RATE and frames.max() <= base and (frames.max() < base or frames.min() > 0)
    if plausible and (base in _USUAL or (len(border) > 1 and step == 1)):
        return _Base(base, step, int(agreeing.sum()))
    return _Base(TICKS, step, 0)


def _thousandths(frame: Floats) -> Floats:
    """What follows the point of frames [T]."""
    return np.round(1000 * (frame - np.floor(frame)))


def _snapped(base: float, step: float) -> int:
    """The app's base or a usual one where `base` is not farther from it than the rows can show."""
    if abs(base - TICKS) <= max(1.0, step):
        return TICKS
    return next((usual for usual in _USUAL if abs(base - usual) <= step / 2), round(base))


def _nominal(found: _Base) -> float:
    """Rows per second without missing rows."""
    return found.base / (found.step or 1.0)


def _has_rate(found: _Base, fps: float) -> bool:
    """Whether the timecodes number rows at this rate, so that missing rows are known: 29.97 fps is counted by 30."""
    return found.seconds > 0 and found.step is not None and abs(fps / _nominal(found) - 1) < 0.002


def _seconds(second: NDArray[np.int64], frame: Floats, found: _Base, drops: bool) -> Floats:
    if drops:
        # SMPTE ST 12-1: numbers are left out at the start of each minute but every tenth; base/1.001 frames a second.
        minutes = second // 60
        numbers = second * found.base + np.floor(frame) - _DROPPED[found.base] * (minutes - minutes // 10)
        return numbers * (1.001 / found.base)
    if found.base == TICKS:
        return second + frame / TICKS
    whole = np.floor(frame)
    if _spread(second, whole, found.base) <= _spread(second, frame, found.base) + 1e-6:
        frame = whole  # what follows the point is no fraction of a frame, such as the number of the row
    return second + frame / found.base


def _spread(second: NDArray[np.int64], frame: Floats, base: int) -> float:
    """How much the steps between rows differ, in frames, without the largest tenth."""
    steps = np.sort(np.diff(second * base + frame))
    return float(np.ptp(steps[: math.ceil(0.9 * len(steps))]))


def _base_notes(found: _Base, codes: Sequence[Timecode]) -> list[str]:
    frame = np.array([code.frame for code in codes])
    largest = frame.max()
    if found.base != TICKS:
        return [
            f"the timecodes count {found.base} frames per second, not {TICKS}: the largest frame is {largest:.0f}, "
            "and the next second follows; give another rate of the rows with --motion-fps"
        ]
    parts = _thousandths(frame)
    if len(parts) > 1 and parts.any() and (np.diff(parts) == np.diff(np.floor(frame))).mean() < _AGREEING:
        return []  # fractions of a tick, which only the app has
    unknown = found.step == 1 or (found.step is not None and not any(code.fraction for code in codes))
    if unknown and not found.seconds and len(codes) >= _FEW_ROWS and largest < TICKS - 1:
        return [
            f"the timecodes do not show how many frames a second counts: {TICKS}, as in the app, are assumed; give "
            "another rate of the rows with --motion-fps"
        ]
    return []


def _problems(time: Floats) -> list[str]:
    """Sentences about timecodes that look wrong: rows that go back, that share a time, that are far apart."""
    if len(time) < _MIN_ROWS:
        return []
    steps = np.diff(time)
    remedy = "if the rows are the frames of a film, give their rate with --motion-fps"
    notes = []
    back = np.flatnonzero(steps < 0)
    if len(back):
        notes.append(
            f"the timecodes go back in {len(back)} of {len(time)} rows, first in row {back[0] + 2}, as where takes "
            f"were appended or a second counts more rows than frames: rows may be mixed or lost; {remedy}"
        )
    same = int((steps == 0).sum())
    if same > 0.2 * len(steps):
        notes.append(f"{same} of {len(time)} rows have the timecode of the row before and are dropped; {remedy}")
    positive = steps[steps > 0]
    if len(positive) and (median := float(np.median(positive))) > 1 / _SLOW:
        notes.append(f"the timecodes advance {median:g} s a row, slower than any face is recorded; {remedy}")
    elif len(positive):
        holes = np.flatnonzero((positive > 10 * median) & (positive < 1))
        span = float(time.max() - time.min())
        if len(holes) >= 2 and len(holes) > 0.5 * span:
            length = float(np.median(positive[holes]))
            notes.append(
                f"the timecodes have {len(holes)} holes of about {length:.2f} s in {span:.0f} s, one in nearly "
                f"every second, and fit no number of frames per second; {remedy}"
            )
    return notes
