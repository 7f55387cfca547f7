"""Ctrl-C that lets the work at hand finish."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from avatar.cli.progress import say


@contextlib.contextmanager
def stopped_by_interrupt(notice: str) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, saying `notice`; the second one raises KeyboardInterrupt."""
    stop = threading.Event()

    def interrupted(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say(notice)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
