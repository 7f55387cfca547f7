"""Estimated time left of a stage of work, from the rate of its last seconds."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 8.0  # seconds over which the rate is measured
#: An estimate is at most this factor above those of the last `BOUND_SECONDS`, unless the machine is busy; and at least
#: 1/FACTOR of what they leave.
FACTOR = 2.0
BOUND_SECONDS = 10.0
SHORTEST = 1.0  # second: shorter estimates count as this much
FIRST = 2.0  # seconds of work before the first estimate
_SPACING = 0.25  # seconds between two samples
#: Busy below these shares of the usual rate, and until above the larger one.
_SLOW = (0.5, 0.7)
_LEAST = 1e-9  # growth of the fraction that counts
_USUAL = 600  # seconds from which the usual rate is taken
#: Processor seconds per second above which a process computes, and the share of the usual below which others compute.
_COMPUTES = 0.5
_TAKEN = 0.75


@dataclass(frozen=True)
class Estimate:
    """Seconds left, None while unknown; and whether other work on the machine slows this one."""

    seconds_left: float | None
    busy: bool


class TimeLeft:
    """Estimates the time left of one stage. All times are seconds of one clock, and never decrease.

    Two estimates within ten seconds that are both not `busy` agree within a factor of 2: the later one is at most twice
    the earlier one, and at least half of what that leaves after the seconds between them. A stage that gets slower
    without other work on the machine thus raises its estimate step by step. A finished stage has 0 s left at once.
    """

    def __init__(self, start: float) -> None:
        """`start`: when the stage begins, at the fraction 0."""
        self._start = start
        self._points = deque([(start, 0.0)])  # time, fraction: where the fraction has grown
        self._processor: deque[tuple[float, float]] = deque()  # time, processor seconds
        self._usual: deque[tuple[float, float | None]] = deque(maxlen=_USUAL)  # rates and processor shares, each second
        self._next_usual = start
        self._estimates: deque[tuple[float, float]] = deque()  # time, estimate: those to agree with
        self._busy = False

    def report(self, now: float, fraction: float) -> None:
        """The finished `fraction`, 0..1, at the time `now`; a smaller one than before is ignored.

        The first one in the first seconds may have been finished before: the rate counts from there.
        """
        points = self._points
        if not fraction > points[-1][1] + _LEAST:
            return
        if points[-1][1] == 0 and now - self._start < FIRST:
            points.clear()
        if len(points) > 2 and points[-1][0] - points[-2][0] < _SPACING:
            points.pop()
        points.append((now, min(fraction, 1.0)))

    def estimate(self, now: float, processor: float | None = None) -> Estimate:
        """The estimate at the time `now`; `processor`: the processor seconds of this process so far, None: unknown."""
        fraction = self._points[-1][1]
        if fraction >= 1:
            return Estimate(0.0, self._busy)
        if len(self._points) < 2 or now - self._start < FIRST:
            self._share(now, processor)
            return Estimate(None, False)
        rate, quiet = self._rate(now)
        self._busy = self._is_busy(now, rate, self._share(now, processor))
        return Estimate(self._bound(now, max(0.0, (1 - fraction) / rate - quiet)), self._busy)

    def _rate(self, now: float) -> tuple[float, float]:
        """Fraction per second of the last seconds, and seconds since the last report that are no longer than usual."""
        points = self._points
        while len(points) > 2 and points[1][0] <= now - WINDOW:
            points.popleft()
        begin, first = points[0]
        last, fraction = points[-1]
        times = [time for time, _ in points]
        longest = max(after - before for before, after in itertools.pairwise(times))
        quiet = min(now - last, longest)
        return (fraction - first) / max(now - quiet - begin, 1e-3), quiet

    def _share(self, now: float, processor: float | None) -> float | None:
        """Processor seconds per second of the last seconds."""
        samples = self._processor
        if processor is None:
            return None
        if not samples or now - samples[-1][0] >= _SPACING:
            samples.append((now, processor))
        while len(samples) > 2 and samples[1][0] <= now - WINDOW:
            samples.popleft()
        begin, first = samples[0]
        return (processor - first) / (now - begin) if now - begin >= _SPACING else None

    def _is_busy(self, now: float, rate: float, share: float | None) -> bool:
        """Whether the rate is far below the usual one while others take the processor, as far as that is known."""
        if now >= self._next_usual:
            self._usual.append((rate, share))
            self._next_usual = now + 1
        if rate >= _SLOW[self._busy] * _usual(rates for rates, _ in self._usual):
            return False
        if share is None:
            return True
        usual = _usual([each for _, each in self._usual if each is not None] or [share])
        return usual < _COMPUTES or share < _TAKEN * usual

    def _bound(self, now: float, seconds: float) -> float:
        estimates = self._estimates
        while estimates and estimates[0][0] < now - BOUND_SECONDS:
            estimates.popleft()
        if self._busy:
            return seconds
        if estimates:
            least = max((value - (now - time)) / FACTOR for time, value in estimates)
            seconds = min(max(seconds, least), FACTOR * max(SHORTEST, min(value for _, value in estimates)))
        estimates.append((now, seconds))
        return seconds


def _usual(values: Iterable[float]) -> float:
    """The third largest, or the least of fewer: what `values` are while nothing else runs, rare as that may be."""
    return heapq.nlargest(3, values)[-1]
