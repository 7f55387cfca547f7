"""What a run of the window is measured by: rates, latencies, memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from avatar.common.latency import LatencyMeter
from avatar.common.process_memory import memory_mb

#: A picture of a live driver is stale where what it shows was taken more seconds ago than this.
STALE = 0.2
_RATE_SECONDS, _MEMORY_PERIOD = 2.0, 1.0


class Rate:
    """How many a second of late."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1024)
        self.count = 0

    def add(self, time: float) -> None:
        """One more, at `time` seconds."""
        self._times.append(time)
        self.count += 1

    def of(self, now: float) -> float:
        """A second, over the last two."""
        recent = [time for time in self._times if time > now - _RATE_SECONDS]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0


class Counters:
    """Everything that is counted."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Args: clock: seconds, as the stamps of samples have them."""
        self._clock = clock
        self.meter = LatencyMeter()
        self.window, self.pictures = Rate(), Rate()
        self.stale = 0  # pictures of who drives now, as the latencies
        self.began: float | None = None  # seconds, when the first picture was drawn
        self._memory: list[float] = []  # MB, about one a second
        self._memory_at = -math.inf
        self._stamps: dict[str, float] = {}  # of a live picture on its way to the screen

    def drawn(self, stamps: Mapping[str, float] | None) -> None:
        """A new picture; `stamps` of the live sample it shows, None where it shows none."""
        now = self._clock()
        self.began = now if self.began is None else self.began
        self.pictures.add(now)
        if stamps:
            self._stamps = {**stamps, "drawn": now}
            self.stale += now - min(stamps.values()) > STALE

    def swapped(self) -> None:
        """A frame of the window is on the screen."""
        self.window.add(self._clock())

    def on_screen(self) -> None:
        """The newest picture is on the screen."""
        if self._stamps:
            self.meter.add({**self._stamps, "shown": self._clock()})
            self._stamps = {}

    def forget_driver(self) -> None:
        """Another one drives: latencies are measured and stale pictures counted anew."""
        self.meter.reset()
        self._stamps, self.stale = {}, 0

    def look_at_memory(self) -> None:
        """Note it, once a second."""
        now = self._clock()
        if now - self._memory_at > _MEMORY_PERIOD and (memory := memory_mb()) is not None:
            self._memory_at = now
            self._memory.append(memory)

    @property
    def memory(self) -> tuple[float, float] | None:
        """MB a tenth into the run, when everything has been made once, and now."""
        memory = self._memory
        return (memory[len(memory) // 10], memory[-1]) if memory else None
