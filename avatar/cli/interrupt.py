"""Ctrl-C that lets a loop finish its current work."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from avatar.cli.progress import say


class Stop(threading.Event):
    """An event set by Ctrl-C; prints `notice` at the first `is_set` after that: a signal handler must not print."""

    def __init__(self, notice: str) -> None:
        super().__init__()
        self._notice: str | None = notice
        self._abandoned = False

    @property
    def requested(self) -> bool:
        """Whether Ctrl-C was pressed; prints and raises nothing."""
        return super().is_set()

    def abandon(self) -> None:
        """Make the next `is_set` raise KeyboardInterrupt, on any thread."""
        self._abandoned = True
        self.set()

    def is_set(self) -> bool:
        """Whether the loop must end.

        Raises:
            KeyboardInterrupt: `abandon` was called.
        """
        if self._abandoned:
            raise KeyboardInterrupt
        stop = super().is_set()
        if stop and self._notice is not None:
            notice, self._notice = self._notice, None
            say(notice)
        return stop


@contextlib.contextmanager
def stopped_by_interrupt(notice: str) -> Iterator[Stop]:
    """Yield an event that the first Ctrl-C sets; the second one raises KeyboardInterrupt in the block.

    The first `is_set` that returns True prints `notice` to stderr; after the second Ctrl-C `is_set` raises
    KeyboardInterrupt on other threads too.
    """
    stop, requested = Stop(notice), False

    def interrupted(number: int, frame: object) -> None:
        nonlocal requested
        if requested:
            stop.abandon()
            raise KeyboardInterrupt
        requested = True
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
