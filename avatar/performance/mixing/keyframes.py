"""Keyframed tracks: values at times, interpolated by holds, lines or monotone cubics that never overshoot."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from avatar.common.files import os_error_sentence
from avatar.common.toml_config import apply_values, read_toml
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.edit import even_times
from avatar.performance.mixing.regions import NAMES, region_of
from avatar.types import JOINT_NAMES, Motion

Easing = Literal["linear", "smooth", "hold"]
EASINGS: tuple[str, ...] = get_args(Easing)
CSV_HEADER = ("time", "name", "weight")
#: Upper limit of keys and bytes of a file.
MAX_KEYS = 100_000
MAX_BYTES = 1 << 22
#: Frames per second at which tracks become a motion: finer than any display.
_RATE = 120.0
_ADVICE = "check its path"


@dataclass(frozen=True)
class Key:
    """One moment of a keyframes file, without its weights."""

    time: float = -1.0
    """seconds"""
    easing: Easing = "smooth"
    """from this key to the next one of the same expression"""


@dataclass(frozen=True, eq=False)
class Track:
    """One value over time; constant before the first key and after the last."""

    times: np.ndarray  # [n] seconds, increasing
    values: np.ndarray  # [n]
    easings: tuple[str, ...]  # [n], from each key to the next

    @staticmethod
    def of(keys: Sequence[tuple[float, float, str]], where: str) -> Track:
        """A track of (time, value, easing) in any order.

        Raises:
            HeadsplatError: no key, two at one time, an unknown easing, or a number that is not finite or negative time.
        """
        if not keys:
            raise HeadsplatError(f"{where}: no keys; give at least one")
        for time, value, easing in keys:
            if not (math.isfinite(time) and 0 <= time <= 1e6):
                raise HeadsplatError(f"{where}: the time {time!r:.20} of a key is not 0 or more seconds")
            if not math.isfinite(value):
                raise HeadsplatError(f"{where}: the value at {time:g} s is not a number; give a finite one")
            if easing not in EASINGS:
                raise HeadsplatError(f"{where}: easing {easing!r:.40} at {time:g} s; give {', '.join(EASINGS)}")
        ordered = sorted(keys)
        times = np.array([key[0] for key in ordered], np.float64)
        values = np.array([key[1] for key in ordered], np.float64)
        if (same := np.flatnonzero(np.diff(times) <= 0)).size:
            raise HeadsplatError(f"{where}: two keys at {times[same[0]]:g} s; keep one of them")
        return Track(times, values, tuple(key[2] for key in ordered))

    def __call__(self, times: np.ndarray) -> np.ndarray:
        """Values [m] at `times` [m] seconds."""
        if len(self.times) == 1:
            return np.full(len(times), self.values[0])
        row = np.clip(np.searchsorted(self.times, times, "right") - 1, 0, len(self.times) - 2)
        step = self.times[row + 1] - self.times[row]
        at = np.clip((times - self.times[row]) / step, 0, 1)
        before = self.values[row]
        after = self.values[row + 1]
        slopes = monotone_slopes(self.times, self.values)
        easing = np.array([EASINGS.index(name) for name in self.easings])[row]
        cubic = _hermite(at, before, after, slopes[row] * step, slopes[row + 1] * step)
        held = np.where(at < 1, before, after)
        return np.choose(easing, [before * (1 - at) + after * at, cubic, held])


def monotone_slopes(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes [n] at the keys with which a cubic Hermite curve stays between neighboring keys.

    The weighted harmonic mean of the neighboring secants, 0 at extrema and at both ends (Fritsch and Butland, "A method
    for constructing local monotone piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5, 1984).
    """
    steps = np.diff(times)
    secants = np.diff(values) / steps
    slopes = np.zeros(len(times))
    left = secants[:-1]
    right = secants[1:]
    first = 2 * steps[1:] + steps[:-1]
    second = steps[1:] + 2 * steps[:-1]
    monotone = left * right > 0
    safe_left = np.where(monotone, left, 1)
    safe_right = np.where(monotone, right, 1)
    slopes[1:-1] = np.where(monotone, (first + second) / (first / safe_left + second / safe_right), 0)
    return slopes


def keyframed_motion(tracks: Mapping[str, Track]) -> Motion:
    """The tracks of weights, sampled at 120 Hz from 0 s to the last key, as a motion of these names."""
    end = max(float(track.times[-1]) for track in tracks.values())
    times = np.append(even_times(np.array([0.0, end]), _RATE), end) if end > 0 else np.zeros(1)
    times = np.unique(times)
    names = tuple(name for name in NAMES if name in tracks)
    weights = np.stack([tracks[name](times) for name in names], 1)
    frames = len(times)
    return Motion(
        torch.from_numpy(times),
        names,
        torch.from_numpy(weights).float(),
        "arkit52",
        torch.zeros(frames, len(JOINT_NAMES), 3),
        torch.zeros(frames, 3),
        resting="zero",
    )


def is_keyframes(path: Path, content: Mapping[str, Any] | None = None) -> bool:
    """Whether a TOML table `content` or the CSV file `path` has keyframes."""
    if content is not None:
        return "key" in content
    try:
        with path.open("r", encoding="utf-8-sig") as stream:
            return _columns(stream.readline(200))[:3] == CSV_HEADER
    except (OSError, UnicodeDecodeError):
        return False


def read_keyframes(path: Path) -> dict[str, Track]:
    """The tracks of a keyframes file: TOML with [[key]] tables, or CSV with the columns time, name, weight, easing.

    Raises:
        HeadsplatError: cannot be read, an unknown key or expression, or a weight outside 0..1.
    """
    rows = _toml_rows(path) if path.suffix.lower() == ".toml" else _csv_rows(path)
    keys: dict[str, list[tuple[float, float, str]]] = {}
    for count, (time, name, weight, easing) in enumerate(rows):
        if count >= MAX_KEYS:
            raise HeadsplatError(f"{path}: more than {MAX_KEYS} keys; give a motion file instead")
        _check(path, time, name, weight)
        keys.setdefault(name, []).append((time, weight, easing))
    if not keys:
        raise HeadsplatError(f"{path}: no keys; give [[key]] tables with time and weights")
    return {name: Track.of(found, f"{path}: {name}") for name, found in keys.items()}


def _check(path: Path, time: float, name: str, weight: float) -> None:
    try:
        region_of(name)
    except HeadsplatError as error:
        raise HeadsplatError(f"{path}: {error}") from error
    if not 0 <= weight <= 1:
        raise HeadsplatError(f"{path}: {name} is {weight:g} at {time:g} s, expected a weight from 0 to 1")


def _toml_rows(path: Path) -> Iterable[tuple[float, str, float, str]]:
    content = read_toml(path, "keyframes file", _ADVICE, MAX_BYTES)
    tables = content.pop("key", [])
    easing = content.pop("easing", "smooth")
    if content:
        raise HeadsplatError(f"{path}: unknown key `{next(iter(content))}`; known keys: easing, key")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise HeadsplatError(f"{path}: `key` is not a list of tables; write each one as [[key]]")
    for number, table in enumerate(tables, 1):
        where = f"{path}: key {number}"
        weights = table.pop("weights", None)
        if not isinstance(weights, dict) or not weights:
            raise HeadsplatError(f"{where}: no weights; give such as weights = {{ {ARKIT_52[14]} = 0.5 }}")
        if "time" not in table:
            raise HeadsplatError(f"{where}: no time; give seconds, such as time = 0.5")
        key = apply_values(Key(easing=easing), table, where)
        for name, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)):
                raise HeadsplatError(f"{where}: {name!r:.60} is {weight!r:.40}, expected a number")
            yield key.time, name, float(weight), key.easing


def _csv_rows(path: Path) -> Iterable[tuple[float, str, float, str]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise HeadsplatError(f"{path}: larger than {MAX_BYTES >> 20} MB; give a motion file instead")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error
    except UnicodeDecodeError as error:
        raise HeadsplatError(f"{path}: not text in UTF-8; write it again") from error
    header = _columns(lines[0] if lines else "")
    if header not in (CSV_HEADER, (*CSV_HEADER, "easing")):
        raise HeadsplatError(f"{path}: line 1: expected the columns time,name,weight and optionally easing")
    for number, row in enumerate(csv.reader(lines[1:]), 2):
        if not any(cell.strip() for cell in row):
            continue
        cells = [cell.strip() for cell in row]
        if len(cells) not in (3, 4):
            raise HeadsplatError(f"{path}: line {number}: {len(cells)} columns, expected {len(header)}")
        try:
            time = float(cells[0])
            weight = float(cells[2])
        except ValueError as error:
            raise HeadsplatError(f"{path}: line {number}: time or weight is not a number; correct it") from error
        yield time, cells[1], weight, (cells[3:] or ["smooth"])[0] or "smooth"


def _columns(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().lower() for cell in line.strip().split(","))


def _hermite(
    at: np.ndarray, before: np.ndarray, after: np.ndarray, leaving: np.ndarray, arriving: np.ndarray
) -> np.ndarray:
    """Cubic Hermite curve at `at` 0..1; slopes per step."""
    rest = 1 - at
    return (
        before * (1 + 2 * at) * rest**2
        + after * (3 - 2 * at) * at**2
        + leaving * at * rest**2
        - arriving * rest * at**2
    )
