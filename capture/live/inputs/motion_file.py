"""A motion that plays at its own times, as if a camera saw it now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from avatar.records import Motion
from capture.live.sample import Sample

from .traffic import Rate

_MOST_SPEED = 100.0


class MotionInput:
    """The frames of a motion, each from its time on until the next one's.

    Seconds count from the first frame. A frame that nobody asked for while it was due is passed over.
    """

    def __init__(
        self,
        motion: Motion,
        *,
        name: str = "motion",
        loop: bool = True,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            motion: of any space, at least one frame.
            name: as a person knows it.
            loop: whether it starts again at its end; the last frame lasts as long as frames usually do.
            speed: of the play; 0 stands still.
            clock: seconds; what a Sample's time is measured with.
        """
        if not len(motion):
            raise HeadsplatError("the motion has no frames; play another")
        self.motion, self.name, self.loop, self._clock = motion, name, loop, clock
        times = motion.time.double().numpy()
        self._times = times - times[0]
        self.length = float(self._times[-1]) + (float(np.median(np.diff(times))) if len(times) > 1 else 1 / motion.rate)
        self._lock = threading.Lock()
        self._running = False
        self._base, self._since = 0.0, clock()  # it stood at `base` seconds at the moment `since`
        self._given: tuple[int, int] | None = None  # round and frame given last
        self._played = self._passed = 0
        self._rate = Rate()
        self._speed = _checked(speed)

    def start(self) -> None:
        """Play on from where it stands: at first the beginning."""
        with self._lock:
            if not self._running:
                self._running, self._since = True, self._clock()

    def earlier(self) -> Sequence[Sample]:
        """Nothing: what came first was given."""
        return ()

    def stop(self) -> None:
        """Stand still."""
        with self._lock:
            self._settle()
            self._running = False

    @property
    def speed(self) -> float:
        """1 is the motion's own, 0 stands still."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._lock:
            self._settle()
            self._speed = _checked(speed)

    @property
    def position(self) -> float:
        """Seconds from the first frame, within the motion."""
        with self._lock:
            return self._place(self._now())[1]

    def seek(self, seconds: float) -> None:
        """Go to a moment, seconds from the first frame, held within the motion; `latest` gives its frame at once."""
        with self._lock:
            inside = min(max(seconds, 0.0), float(self._times[-1])) if seconds == seconds else 0.0
            self._base, self._since, self._given = inside, self._clock(), None

    def latest(self) -> Sample | None:
        """The frame that is due, once."""
        with self._lock:
            if not self._running:
                return None
            now = self._clock()
            total = self._now()
            turn, place = self._place(total)
            frame = int(np.searchsorted(self._times, place + 1e-9, side="right")) - 1
            if (turn, frame) == self._given:
                return None
            self._count(turn, frame, now)
            late = (place - self._times[frame]) / self._speed if self._speed else 0.0
            return self._sample(frame, max(now - late, self._since))

    def facts(self) -> dict[str, Any]:
        """Counts: `dropped` frames were due while nobody asked; `position` and `length` in seconds."""
        with self._lock:
            total = self._now()
            return {
                "input": self.name,
                "received": self._played + self._passed,
                "samples": self._played,
                "dropped": self._passed,
                "malformed": 0,
                "rate": self._rate.of(self._clock()),
                "position": self._place(total)[1],
                "length": self.length,
                "finished": not self.loop and total >= self._times[-1],
            }

    def _now(self) -> float:
        """Seconds played since the first frame, rounds included."""
        return self._base + (self._clock() - self._since) * self._speed * self._running

    def _settle(self) -> None:
        self._base, self._since = self._now(), self._clock()

    def _place(self, total: float) -> tuple[int, float]:
        """Which round, and seconds from the first frame in it."""
        if not self.loop:
            return 0, min(total, float(self._times[-1]))
        turn = int(total // self.length)
        return turn, max(total - turn * self.length, 0.0)

    def _count(self, turn: int, frame: int, now: float) -> None:
        if self._given is not None:
            ahead = (turn - self._given[0]) * len(self._times) + frame - self._given[1]
            self._passed += max(ahead - 1, 0)
        self._given = turn, frame
        self._played += 1
        self._rate.add(now)

    def _sample(self, frame: int, due: float) -> Sample:
        motion, confidence = self.motion, self.motion.confidence
        return Sample(
            time=due,
            names=motion.names,
            space=motion.space,
            weights=motion.weights[frame].float().numpy(),
            joint_rot=motion.joint_rot[frame].float().numpy(),
            translation=motion.translation[frame].float().numpy(),
            confidence=1.0 if confidence is None else float(confidence[frame]),
            stamps={"due": due},
        )


def _checked(speed: float) -> float:
    if not 0 <= speed <= _MOST_SPEED:
        raise HeadsplatError(f"speed: expected 0 to {_MOST_SPEED:g} times the motion's own, got {speed:g}")
    return float(speed)
