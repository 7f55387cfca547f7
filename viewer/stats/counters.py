"""Statistics of a run of the window: frame rates, latencies, memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from avatar.common.latency import LatencyMeter
from avatar.common.processes import memory_mb

#: An image of a live source is stale where its sample is older than this, in seconds.
STALE = 0.2
_RATE_SECONDS = 2.0
_MEMORY_PERIOD = 1.0


class Rate:
    """Recent events per second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1024)
        self.count = 0

    def add(self, time: float) -> None:
        """Count an event at `time` seconds."""
        self._times.append(time)
        self.count += 1

    def of(self, now: float) -> float:
        """Events per second over the last two seconds."""
        recent = [time for time in self._times if time > now - _RATE_SECONDS]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0


class Counters:
    """All statistics."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Args: clock: returns seconds, as the stamps of samples."""
        self._clock = clock
        self.meter = LatencyMeter()
        self.window = Rate()
        self.images = Rate()
        self.stale = 0  # images of the active source, as the latencies
        self.began: float | None = None  # seconds, when the first image was rendered
        self._memory: list[float] = []  # MB, about one per second
        self._memory_at = -math.inf
        self._stamps: dict[str, float] = {}  # of a live image that is not on the screen yet

    def count_image(self, stamps: Mapping[str, float] | None) -> None:
        """Count a new image; `stamps` of the new live sample it shows, None without one."""
        now = self._clock()
        self.began = now if self.began is None else self.began
        self.images.add(now)
        if stamps:
            self._stamps = {**stamps, "drawn": now}
            self.stale += now - min(stamps.values()) > STALE

    def count_frame(self) -> None:
        """Count a frame of the window."""
        self.window.add(self._clock())

    def record_display(self) -> None:
        """Record that the newest image is on the screen."""
        if self._stamps:
            self.meter.add({**self._stamps, "shown": self._clock()})
            self._stamps = {}

    def reset_latency(self) -> None:
        """Restart latencies and the count of stale images, for another source."""
        self.meter.reset()
        self._stamps = {}
        self.stale = 0

    def sample_memory(self) -> None:
        """Record the memory in use, once per second."""
        now = self._clock()
        if now - self._memory_at > _MEMORY_PERIOD and (memory := memory_mb()) is not None:
            self._memory_at = now
            self._memory.append(memory)

    @property
    def memory(self) -> tuple[float, float] | None:
        """MB after a tenth of the run, when everything has been allocated once, and now."""
        memory = self._memory
        return (memory[len(memory) // 10], memory[-1]) if memory else None
