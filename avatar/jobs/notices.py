"""What a job reports to its caller while it runs, and how the caller ends it early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

_WATCH_SECONDS = 0.1  # between two checks whether a block that an event can end is over


@dataclass(frozen=True)
class Message:
    """A sentence for the user."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Result:
    """What a job has made, or a part of it, while the job goes on: the command prints it to standard output."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Progress:
    """How far a stage of a job is. A job has one stage at a time on each of its threads."""

    stage: str
    fraction: float  # 0..1
    text: str = ""  # what is being done
    ended: bool = False  # the last one of the stage, which is complete unless it `failed`
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.stage}: {self.fraction:.0%}{', ' if self.text else ''}{self.text}"


Notice = Message | Result | Progress
#: Receives what a job reports, in the order in which it happens, such as `print`; may be called from other threads.
Notify = Callable[[Notice], object]
#: Receives the finished fraction 0..1 of a stage and what is being done.
Update = Callable[[float, str], None]


class StopBlock(Protocol):
    """Makes the event that ends a block where a job can end and keep what it has, as the command does for Ctrl-C."""

    def __call__(
        self, sentence: str, request: Callable[[], object] | None = None, /
    ) -> AbstractContextManager[threading.Event]:
        """The event of the block.

        Args:
            sentence: what the end of the block keeps, for the user.
            request: to be called when the event is set, for blocks that do not check it; returns at once.
        """


#: What ends a job early: an event; or what makes the event of the block that can be ended; None: nothing.
Stop = threading.Event | StopBlock | None


def ignore(notice: Notice) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Notices:
    """The sender of a job's notices."""

    notify: Notify = ignore

    def say(self, text: str) -> None:
        """Send a sentence."""
        self.notify(Message(text))

    def show(self, text: str) -> None:
        """Send a result."""
        self.notify(Result(text))

    @contextmanager
    def stage(self, title: str) -> Iterator[Update]:
        """A stage of the job; the block calls the yielded function. It is complete if the block raises nothing."""
        self.notify(Progress(title, 0.0))

        def update(fraction: float, text: str = "") -> None:
            self.notify(Progress(title, fraction, text))

        with self._ending(lambda: title):
            yield update

    @contextmanager
    def stages(self) -> Iterator[Callable[[str, float, str], None]]:
        """Stages one after another; the block calls the yielded function with a title, a fraction and a text.

        A new title ends the stage before; the end of the block, if it raises nothing, the last one.
        """
        current: str | None = None

        def report(title: str, fraction: float, text: str = "") -> None:
            nonlocal current
            if current is not None and title != current:
                self.notify(Progress(current, 1.0, ended=True))
            current = title
            self.notify(Progress(title, fraction, text))

        with self._ending(lambda: current):
            yield report

    @contextmanager
    def _ending(self, stage: Callable[[], str | None]) -> Iterator[None]:
        """Report at the end of the block that the stage has ended, or failed; None: there is none."""
        try:
            yield
        except BaseException:
            if (title := stage()) is not None:
                self.notify(Progress(title, 1.0, ended=True, failed=True))
            raise
        if (title := stage()) is not None:
            self.notify(Progress(title, 1.0, ended=True))

    @contextmanager
    def counted_stages(self) -> Iterator[Callable[[str, int, int], None]]:
        """Like `stages` for a progress callback `(stage, done, total)`."""
        with self.stages() as report:
            yield lambda title, done, total: report(title, done / max(total, 1), f"{done} of {total}")


#: Of a job that reports to nobody.
SILENT = Notices()


@contextmanager
def stoppable(stop: Stop, sentence: str, request: Callable[[], object] | None = None) -> Iterator[threading.Event]:
    """The event that ends the block early.

    Args:
        stop: see `Stop`.
        sentence: what the end of the block keeps, for the user.
        request: called once the event is set, from any thread, for a block that does not check it, such as a window.
    """
    if stop is None or isinstance(stop, threading.Event):
        event = stop or threading.Event()
        with nullcontext() if request is None or stop is None else _watched(event, request):
            yield event
    else:
        with stop(sentence, request) as event:
            yield event


@contextmanager
def _watched(event: threading.Event, request: Callable[[], object]) -> Iterator[None]:
    """Call `request` from a thread once the event is set in the block."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if event.wait(_WATCH_SECONDS):
                request()
                return

    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_requested(stop: threading.Event) -> bool:
    """Whether the event is set, asked beside the block that it ends: the command's says so at its first `is_set`."""
    return bool(getattr(stop, "requested", False)) or (not hasattr(stop, "requested") and stop.is_set())


def cause_of(stop: threading.Event) -> str:
    """What ended a block with this event, for messages: the event's attribute `cause`, if it has one.

    An event that nobody set: Ctrl-C, by an exception.
    """
    cause = getattr(stop, "cause", None)
    return str(cause or ("the caller" if stop.is_set() else "Ctrl-C"))
