"""Latency of each stage of a live frame, measured from its time stamps."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from avatar.common.jsonable import to_jsonable

#: Frames that are kept: five minutes at 30 fps.
_KEPT = 9000
#: Seconds over which the recent frame rate is averaged.
_RATE_SECONDS = 2.0


@dataclass(frozen=True)
class StageLatency:
    """Latency of one stage in milliseconds."""

    stage: str
    p50: float
    p95: float
    worst: float

    @staticmethod
    def of(stage: str, seconds: np.ndarray) -> StageLatency:
        """From durations [n] in seconds."""
        p50, p95 = np.percentile(seconds, [50, 95])
        return StageLatency(stage, 1e3 * float(p50), 1e3 * float(p95), 1e3 * float(seconds.max()))


@dataclass(frozen=True)
class LatencyReport:
    """Measurements of a live run."""

    frames: int  # total
    rate: float  # frames per second, recent
    mean_rate: float  # frames per second over the whole run
    stages: tuple[StageLatency, ...]  # in order of time, each from the stage before it
    total: StageLatency | None  # from the first stamp to the last

    def to_json(self) -> dict[str, Any]:
        """Everything in JSON's types."""
        values: dict[str, Any] = to_jsonable(asdict(self))
        return values

    def to_text(self) -> str:
        """A line for the frame rate and one for each stage."""
        if self.total is None:
            return "no frames"
        lines = [f"{self.frames} frames, {self.mean_rate:.1f} fps (recently {self.rate:.1f})"]
        for row in (*self.stages, self.total):
            lines.append(f"{row.stage:>24}: p50 {row.p50:6.1f} ms, p95 {row.p95:6.1f} ms, worst {row.worst:6.1f} ms")
        return "\n".join(lines)


class LatencyMeter:
    """Collects the stamps of frames; safe to use from several threads, bounded in memory."""

    def __init__(self, capacity: int = _KEPT) -> None:
        #: stages and their seconds; all rows share one tuple of names, since thousands of dictionaries take megabytes
        self._rows: deque[tuple[tuple[str, ...], array[float]]] = deque(maxlen=capacity)
        self._stages: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._count = 0
        self._first = 0.0

    def add(self, stamps: Mapping[str, float]) -> None:
        """Add a frame with its `stamps`, stage -> seconds (monotonic) when it was completed."""
        if not stamps:
            return
        with self._lock:
            if not self._count:
                self._first = max(stamps.values())
            self._count += 1
            if (stages := tuple(stamps)) != self._stages:
                self._stages = stages
            self._rows.append((self._stages, array("d", stamps.values())))

    def reset(self) -> None:
        """Discard all frames."""
        with self._lock:
            self._rows.clear()
            self._count = 0

    def totals(self, count: int) -> tuple[float, ...]:
        """Milliseconds from first to last stamp of the newest frames, at most `count`, oldest first."""
        with self._lock:
            rows = list(islice(reversed(self._rows), count))
        return tuple(1e3 * (max(seconds) - min(seconds)) for _, seconds in reversed(rows))

    def report(self, newest: int | None = None) -> LatencyReport:
        """The measurements; stages are those of the newest frame, in order of time.

        Args:
            newest: count of frames that are evaluated; None: all that are kept, which takes tens of milliseconds.
        """
        with self._lock:
            newest_rows = list(islice(reversed(self._rows), newest))[::-1]
            count = self._count
            first = self._first
        rows = [dict(zip(stages, seconds, strict=True)) for stages, seconds in newest_rows]
        if not rows:
            return LatencyReport(0, 0.0, 0.0, (), None)
        order = sorted(rows[-1], key=lambda stage: rows[-1][stage])
        complete = [row for row in rows if all(stage in row for stage in order)]
        table = np.array([[row[stage] for stage in order] for row in complete])
        steps = np.diff(table, axis=1).clip(0)
        stages = tuple(StageLatency.of(stage, steps[:, column]) for column, stage in enumerate(order[1:]))
        total = StageLatency.of(f"{order[0]} to {order[-1]}", table[:, -1] - table[:, 0])
        done = np.array([max(row.values()) for row in rows])
        recent = done[done > done[-1] - _RATE_SECONDS]
        rate = _rate(len(recent), recent[-1] - recent[0])
        return LatencyReport(count, rate, _rate(count, done[-1] - first), stages, total)


def _rate(count: int, seconds: float) -> float:
    return (count - 1) / float(seconds) if count > 1 and seconds > 0 else 0.0
