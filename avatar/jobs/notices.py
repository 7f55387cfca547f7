"""What a job tells its caller while it runs, and how the caller ends it early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass


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
    ended: bool = False  # the last one of the stage, which is complete

    def __str__(self) -> str:
        return f"{self.stage}: {self.fraction:.0%}{', ' if self.text else ''}{self.text}"


Notice = Message | Result | Progress
#: Receives what a job tells, in the order in which it happens, such as `print`; may be called from other threads.
Notify = Callable[[Notice], object]
#: Receives the finished fraction 0..1 of a stage and what is being done.
Update = Callable[[float, str], None]
#: What ends a job early: an event; or a function that is called with a sentence for the user where the job can end and
#: keep what it has, and makes the event of that block, as the command does to handle Ctrl-C there; None: nothing.
Stop = threading.Event | Callable[[str], AbstractContextManager[threading.Event]] | None


def ignore(notice: Notice) -> None:
    """Tell nobody."""


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

        yield update
        self.notify(Progress(title, 1.0, ended=True))

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

        yield report
        if current is not None:
            self.notify(Progress(current, 1.0, ended=True))

    @contextmanager
    def counted_stages(self) -> Iterator[Callable[[str, int, int], None]]:
        """Like `stages` for a progress callback `(stage, done, total)`."""
        with self.stages() as report:
            yield lambda title, done, total: report(title, done / max(total, 1), f"{done} of {total}")


#: Of a job that tells nobody.
SILENT = Notices()


@contextmanager
def stoppable(stop: Stop, sentence: str) -> Iterator[threading.Event]:
    """The event that ends the block early.

    Args:
        stop: see `Stop`.
        sentence: what the end of the block keeps, for the user.
    """
    if stop is None or isinstance(stop, threading.Event):
        yield stop or threading.Event()
    else:
        with stop(sentence) as event:
            yield event


def is_requested(stop: threading.Event) -> bool:
    """Whether the event is set, asked beside the block that it ends: the command's says so at its first `is_set`."""
    return bool(getattr(stop, "requested", False)) or (not hasattr(stop, "requested") and stop.is_set())


def cause_of(stop: threading.Event) -> str:
    """What set the event, such as "Ctrl-C": its attribute `cause`, if it has one."""
    return str(getattr(stop, "cause", "the caller"))
