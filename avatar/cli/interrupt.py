"""Ctrl-C that lets the work at hand finish."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from avatar.cli.progress import say


class Stop(threading.Event):
    """Set by a signal; says `notice` once, where a loop first sees it set: a signal handler may not print."""

    def __init__(self, notice: str) -> None:
        super().__init__()
        self._notice: str | None = notice
        self._abandoned = False

    @property
    def asked(self) -> bool:
        """Whether Ctrl-C was pressed, for those who only look on."""
        return super().is_set()

    def abandon(self) -> None:
        """Let the loop that next asks end with KeyboardInterrupt, on whatever thread it runs."""
        self._abandoned = True
        self.set()

    def is_set(self) -> bool:
        """Whether the work is to end; raises KeyboardInterrupt where it was abandoned."""
        if self._abandoned:
            raise KeyboardInterrupt
        stop = super().is_set()
        if stop and self._notice is not None:
            notice, self._notice = self._notice, None
            say(notice)
        return stop


@contextlib.contextmanager
def stopped_by_interrupt(notice: str) -> Iterator[Stop]:
    """An event that the first Ctrl-C sets; the second one raises KeyboardInterrupt, wherever the block then is.

    Who asks whether the event is set says `notice` on stderr the first time that it is; another thread that asks after
    the second Ctrl-C gets a KeyboardInterrupt too.
    """
    stop, asked = Stop(notice), False

    def interrupted(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            stop.abandon()
            raise KeyboardInterrupt
        asked = True
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
