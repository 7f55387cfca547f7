"""Timing: wall clock on the CPU, events and CUDA graphs on a GPU."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from avatar.ops.backend import wrapped_native


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call: percentiles over the repeats, and the mean by the wall clock."""

    median: float
    p10: float
    p90: float
    wall: float | None  # mean by the wall clock; None for a part of a call
    repeats: int


@dataclass(frozen=True)
class Effort:
    """Number of repeats: at least `min_repeats`, then until `seconds` have passed or `max_repeats` is reached."""

    warm_up: int
    min_repeats: int
    max_repeats: int
    seconds: float


CPU_EFFORT = Effort(warm_up=3, min_repeats=7, max_repeats=200, seconds=0.7)
CUDA_EFFORT = Effort(warm_up=50, min_repeats=200, max_repeats=200, seconds=0.0)


def summary(milliseconds: list[float], wall: float | None = None) -> Timing:
    """Median and 10th and 90th percentile (nearest rank) of repeated times."""
    ordered = sorted(milliseconds)

    def percentile(fraction: float) -> float:
        return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]

    return Timing(percentile(0.5), percentile(0.1), percentile(0.9), wall, len(ordered))


def measure(call: Callable[[], object], device: torch.device, effort: Effort) -> Timing:
    """Time `call`: with events on a CUDA device, by the wall clock on the CPU."""
    for _ in range(effort.warm_up):
        call()
    return _by_events(call, effort.min_repeats) if device.type == "cuda" else _by_wall_clock(call, effort)


def _by_wall_clock(call: Callable[[], object], effort: Effort) -> Timing:
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < effort.min_repeats or (
        len(times) < effort.max_repeats and time.perf_counter() - started < effort.seconds
    ):
        before = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - before))
    return summary(times, 1e3 * (time.perf_counter() - started) / len(times))


def _by_events(call: Callable[[], object], repeats: int) -> Timing:
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    torch.cuda.synchronize()
    started = time.perf_counter()
    marks[0].record()
    for mark in marks[1:]:
        call()
        mark.record()
    torch.cuda.synchronize()
    wall = 1e3 * (time.perf_counter() - started) / repeats
    return summary([before.elapsed_time(after) for before, after in itertools.pairwise(marks)], wall)


def cuda_graph(call: Callable[[], object]) -> Callable[[], object]:
    """Capture `call` as a CUDA graph; returns a function that replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # lazy initialization must not happen during the capture
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


class Stopwatch:
    """Sums the time in each native function by its name."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.totals: dict[str, float] = {}
        self._pending: list[tuple[str, Any, Any]] = []

    def wrap(self, functions: Any) -> Any:
        """An object with the members of `functions`, timed by this stopwatch."""
        return _Timed(functions, self)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with its time added to the total of `name`."""

        def run(*args: Any) -> Any:
            if self.device.type == "cuda":
                before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                before.record()
                result = function(*args)
                after.record()
                self._pending.append((name, before, after))
                return result
            start = time.perf_counter()
            result = function(*args)
            self.totals[name] = self.totals.get(name, 0.0) + 1e3 * (time.perf_counter() - start)
            return result

        return run

    def lap(self) -> dict[str, float]:
        """Milliseconds by name since the last lap."""
        if self._pending:
            torch.cuda.synchronize()
        for name, before, after in self._pending:
            self.totals[name] = self.totals.get(name, 0.0) + before.elapsed_time(after)
        totals = self.totals
        self.totals = {}
        self._pending = []
        return totals


class _Timed:
    def __init__(self, functions: Any, stopwatch: Stopwatch) -> None:
        self._functions = functions
        self._stopwatch = stopwatch

    def __getattr__(self, name: str) -> Any:
        return self._stopwatch.timed(name, getattr(self._functions, name))


def split(call: Callable[[], object], device: torch.device, effort: Effort) -> dict[str, Timing]:
    """Time in each native function that `call` uses, the remainder as "rest" and the total as "all"."""
    stopwatch = Stopwatch(device)
    laps: list[dict[str, float]] = []
    with wrapped_native(stopwatch.wrap):
        for _ in range(effort.warm_up):
            call()
        stopwatch.lap()
        started = time.perf_counter()
        while len(laps) < effort.min_repeats or (
            len(laps) < effort.max_repeats and time.perf_counter() - started < effort.seconds
        ):
            before = time.perf_counter()
            call()
            totals = stopwatch.lap()
            whole = 1e3 * (time.perf_counter() - before)
            laps.append(totals | {"rest": whole - sum(totals.values()), "all": whole})
    return {name: summary([lap.get(name, 0.0) for lap in laps]) for name in laps[0]}
