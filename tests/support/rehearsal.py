"""A recording with the coach before any camera, frame after frame: what was asked, warned of and ticked off when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capture.coach.coach import Advice
from capture.film.session import Filming
from capture.live.camera import Feed, Lens, LiveFrame
from tests.support.actor import Acted, Actor, Role

#: Seconds that a frame's advice is waited for.
_PATIENCE = 60.0


@dataclass(frozen=True, eq=False)
class Row:
    """A frame and the advice after it."""

    time: float  # seconds
    rgb: np.ndarray  # [H,W,3] uint8 sRGB
    advice: Advice


class Rehearsal:
    """The recording: a feed whose frames come only once the coach has seen the one before."""

    def __init__(self, make: Callable[[Callable[[], str]], Feed], folder: Path, *, images: bool = False) -> None:
        """
        Args:
            make: the camera, of what returns the key of the present request.
            folder: the capture folder that grows.
            images: keep the frames.
        """
        self._feed = make(lambda: self.rows[-1].advice.request if self.rows else "")
        self.name = self._feed.name
        self.rows: list[Row] = []
        self._images = images
        self.filming = Filming(self, folder, lossless=True)

    @staticmethod
    def of(role: Role, folder: Path, size: tuple[int, int] = (480, 360), fps: float = 15.0) -> Rehearsal:
        """That of an actor."""
        return Rehearsal(lambda hear: Actor(hear, role, size, fps), folder)

    def run(self, until: Callable[[Row], bool] = lambda row: False) -> list[Row]:
        """Record until the end, or until a row for which `until` is true."""
        self._until = until
        self.filming.start()
        while not self.filming.wait(0.1):
            pass
        self.filming.stop()
        return self.rows

    @property
    def acted(self) -> list[Acted]:
        """What each row's frame shows; of an actor."""
        assert isinstance(self._feed, Actor)
        return self._feed.acted[: len(self.rows)]

    def open(self) -> Lens:
        """Open the camera."""
        return self._feed.open()

    def frames(self) -> Iterator[LiveFrame]:
        """The camera's frames."""
        for count, frame in enumerate(self._feed.frames(), 1):
            yield frame
            shown = self.filming.shown()
            end = time.monotonic() + _PATIENCE
            while shown is None or shown.frames < count:
                if time.monotonic() > end:
                    return
                time.sleep(1e-3)
                shown = self.filming.shown()
            empty = np.zeros((0, 0, 3), np.uint8)
            self.rows.append(Row(shown.seconds, frame.rgb if self._images else empty, shown.advice))
            if self._until(self.rows[-1]):
                return

    def close(self) -> None:
        """Close the camera."""
        self._feed.close()


def ticks(rows: list[Row]) -> dict[str, float]:
    """Seconds at which each item was done, by its key."""
    done: dict[str, float] = {}
    for row in rows:
        for item in row.advice.items:
            if item.status == "done":
                done.setdefault(item.key, row.time)
    return done


def requests(rows: list[Row]) -> list[str]:
    """What was asked for, in its order."""
    keys = [row.advice.request for row in rows]
    return [key for before, key in zip(["", *keys], keys, strict=False) if key and key != before]


def warned(rows: list[Row], start: float, end: float, keys: tuple[str, ...]) -> float | None:
    """Seconds from `start` to the first of these warnings before `end`."""
    times = [row.time for row in rows if start <= row.time < end and row.advice.warning in keys]
    return times[0] - start if times else None


def asked_although_shown(rows: list[Row], acted: list[Acted], seconds: float) -> list[str]:
    """Requests that were asked for after the actor had done them for so many seconds while asked for before."""
    shown: dict[str, float] = {}
    found = []
    for index in range(1, len(rows)):
        before, now = rows[index - 1], rows[index]
        key = now.advice.request
        if key != before.advice.request and shown.get(key, 0.0) > seconds:
            found.append(key)
        if acted[index].request and not acted[index].fault and not now.advice.warning:
            shown[acted[index].request] = shown.get(acted[index].request, 0.0) + now.time - before.time
    return found


def transcript(rows: list[Row]) -> str:
    """A line for each change of the advice."""
    lines = []
    last: tuple[str, str] = ("", "")
    done: set[str] = set()
    for row in rows:
        advice = row.advice
        new = {item.key for item in advice.items if item.status == "done"} - done
        if (advice.request, advice.warning) != last or new:
            ticked = f"  + {', '.join(sorted(new))}" if new else ""
            warning = f"  ! {advice.warning_words}" if advice.warning else ""
            lines.append(f"{row.time:5.1f} s {advice.share:4.0%}  {advice.words}{warning}{ticked}")
        last = (advice.request, advice.warning)
        done |= new
    return "\n".join(lines)
