"""Ctrl-C, SIGTERM and SIGHUP: they end a command alike, or let a loop finish its current work first."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from avatar.cli.progress import say

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: Seconds after which an interrupt is repeated that Python could not raise.
_REPEAT_SECONDS = 0.05
#: The signal that ends the present command.
_received: int | None = None


def cause() -> str:
    """What ends the present command, for messages: "Ctrl-C", "SIGTERM" or "SIGHUP"."""
    return "Ctrl-C" if _received in (None, signal.SIGINT) else signal.Signals(_received).name


def exit_code() -> int:
    """The conventional exit code of a process that this signal ends: 130 for Ctrl-C, 143 SIGTERM, 129 SIGHUP."""
    return 128 + (_received or signal.SIGINT)


class Stop(threading.Event):
    """An event set by a signal; prints `notice` at the first `is_set` after that: a signal handler must not print."""

    def __init__(self, notice: str) -> None:
        super().__init__()
        self._notice: str | None = notice
        self._abandoned = False

    @property
    def cause(self) -> str:
        """What set it, for messages."""
        return cause()

    @property
    def requested(self) -> bool:
        """Whether a signal was received; prints and raises nothing."""
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
            notice = self._notice
            self._notice = None
            say(notice)
        return stop


@contextlib.contextmanager
def stopped_by_interrupt(notice: str, request: Callable[[], object] | None = None) -> Iterator[Stop]:
    """Yield an event that the first Ctrl-C, SIGTERM or SIGHUP sets; then Ctrl-C raises KeyboardInterrupt in the block.

    The first `is_set` that returns True prints `notice` to stderr; after the second Ctrl-C `is_set` raises
    KeyboardInterrupt on other threads too.

    Args:
        notice: a line for the user.
        request: called by the signal handler with the event, for loops that do not check it; must not print.
    """
    stop = Stop(notice)
    requested = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        global _received
        if not requested:
            requested = True
            _received = number
            stop.set()
            if request is not None:
                request()
        elif number == signal.SIGINT:  # see _counts
            stop.abandon()
            raise KeyboardInterrupt

    with _handled_by(interrupted):
        yield stop


@contextlib.contextmanager
def interrupts_raise(process: bool) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block on Ctrl-C, SIGTERM and SIGHUP.

    Args:
        process: the block is the whole work of this process. The signals then stay handled after it, where they end
            the process at once, and so does one that arrives during an import: libraries turn a KeyboardInterrupt
            there into other errors or lose it. Outputs are complete or absent even so, as after a kill.
    """
    global _received
    _received = None
    ended = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        if not _counts(number):
            return
        if process and (ended or _is_importing(frame)):
            _quit(silently=ended)
        raise KeyboardInterrupt

    if process:
        sys.unraisablehook = _repeat_interrupt
    with _handled_by(interrupted, restored=not process):
        try:
            yield
        finally:
            ended = True


def _counts(number: int) -> bool:
    """Note a signal; returns whether it has an effect.

    A closed terminal, the end of a session and `timeout` send SIGHUP and SIGTERM more than once: only Ctrl-C, pressed
    again, interrupts what the first signal left to do.
    """
    global _received
    repeated = _received is not None
    _received = _received or number
    return not repeated or number == signal.SIGINT


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None], restored: bool = True) -> Iterator[None]:
    """Handle the signals in the block; on other threads than the main one they stay with their handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A signal that the caller ignores (nohup: SIGHUP) stays ignored, except SIGINT: scripts start their background
    # processes without it, and `kill -INT` is then still a request.
    heeded = [n for n in _SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        if restored:
            for number, earlier in before.items():
                signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _quit(silently: bool) -> NoReturn:
    if not silently:
        with contextlib.suppress(OSError):
            os.write(2, f"headsplat: stopped by {cause()}\n".encode())
    os._exit(exit_code())


def _repeat_interrupt(unraisable: Any) -> None:
    """Raise a KeyboardInterrupt again that Python would print and lose: in finalizers and callbacks of libraries."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        timer = threading.Timer(_REPEAT_SECONDS, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(unraisable)
