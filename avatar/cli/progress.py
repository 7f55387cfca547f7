"""Progress of a command on stderr: a line on a terminal, otherwise a line at intervals, or JSON; in one model of time.

`choose_display` sets the display of the process: the options `--quiet` and `--progress json` of all commands.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from avatar.common.printable import printable, single_line
from avatar.common.time_left import TimeLeft
from avatar.jobs.notices import Message, Notice, Notices, Notify, Result, Update

#: "auto": a line on a terminal that changes, otherwise lines at intervals.
Display = Literal["auto", "json", "quiet"]

PLAIN_INTERVAL = 10.0  # seconds between two lines of one stage
JSON_INTERVAL = 1.0  # seconds between two JSON objects
MODEL_INTERVAL = 1.0  # seconds, at most, between two looks at the processor time of this process
BAR_INTERVAL = 0.25  # seconds between two changes of the line on a terminal

_display: Display = "auto"


def choose_display(display: Display) -> None:
    """Set how this process shows progress."""
    global _display
    _display = display


def display_of_process() -> Display:
    """How this process shows progress."""
    return _display


def say(text: str) -> None:
    """Print a message to stderr; stdout is for results. Control characters are escaped: text of files may have some."""
    print(f"{printable(text)}\n", end="", file=sys.stderr, flush=True)  # one write: two threads may print


def show(text: str) -> None:
    """Print a result, or a part of it, to stdout; control characters are escaped as by `say`."""
    print(printable(text), flush=True)


@dataclass(frozen=True)
class State:
    """Progress of a stage at one time, with the names of the JSON objects."""

    stage: str
    fraction: float  # 0..1
    seconds_left: float | None  # None: not known yet
    text: str
    busy: bool  # other work on the machine slows this one

    def to_text(self) -> str:
        """What follows the fraction: the time left, the text, and why it takes longer."""
        left = "" if self.seconds_left is None else f"{self.seconds_left:.0f} s left"
        return ", ".join(
            part for part in (left, single_line(self.text), "the machine is busy" if self.busy else "") if part
        )


class Stage:
    """The progress of one stage, shown at intervals by a thread of its own, whether or not there is any."""

    def __init__(self, title: str, display: Callable[[State], None], interval: float) -> None:
        """`display` shows a state; `interval` seconds lie between two calls, which come from the thread."""
        self._title = title
        self._display = display
        self._interval = interval
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._model = TimeLeft(time.monotonic())
        self._fraction = 0.0
        self._text = ""

    def update(self, fraction: float, text: str = "") -> None:
        """The finished `fraction` 0..1, and what is being done."""
        with self._lock:
            self._fraction = fraction
            self._text = text
            self._model.report(time.monotonic(), fraction)

    def state(self) -> State:
        """The present state."""
        with self._lock:
            found = self._model.estimate(time.monotonic(), time.process_time())
            left = None if found.seconds_left is None else round(found.seconds_left, 1)
            return State(self._title, round(self._fraction, 4), left, self._text, found.busy)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the states in the block."""
        thread = threading.Thread(target=self._show_states, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _show_states(self) -> None:
        tick = min(self._interval, MODEL_INTERVAL)
        shown = time.monotonic()
        while not self._ended.wait(tick):
            state = self.state()
            now = time.monotonic()
            if now - shown >= self._interval - tick / 2:
                self._display(state)
                shown = now


@contextlib.contextmanager
def stage(title: str) -> Iterator[Update]:
    """Show the progress of one stage; the block calls the yielded function with a fraction and a short text.

    Prints the duration when the block ends without an exception.
    """
    start = time.monotonic()
    if _display == "quiet":
        yield _show_nothing
    elif _display == "json":
        with _json_lines(title) as update:
            yield update
    else:
        with _bar(title) if sys.stderr.isatty() else _lines(title) as update:
            yield update
        say(f"{title}: done in {time.monotonic() - start:.1f} s")


def _show_nothing(fraction: float, text: str = "") -> None:
    """The update of a stage that is not shown."""


def _print(notice: Notice) -> None:
    if isinstance(notice, Message):
        say(notice.text)


#: Prints the sentences of what a command calls, and no progress.
SENTENCES = Notices(_print)


@contextlib.contextmanager
def printed() -> Iterator[Notify]:
    """Print what a job reports: results on stdout; sentences, and progress as `stage` shows it, on stderr."""
    stages: dict[str, tuple[Update, contextlib.ExitStack]] = {}

    def receive(notice: Notice) -> None:
        if isinstance(notice, Message):
            say(notice.text)
        elif isinstance(notice, Result):
            show(notice.text)
        elif notice.ended:
            _, shown = stages.pop(notice.stage, (None, contextlib.ExitStack()))
            failure = _FailedError() if notice.failed else None
            with contextlib.suppress(_FailedError):
                shown.__exit__(None if failure is None else _FailedError, failure, None)
        else:
            if notice.stage not in stages:
                shown = contextlib.ExitStack()
                stages[notice.stage] = shown.enter_context(stage(notice.stage)), shown
            stages[notice.stage][0](notice.fraction, notice.text)

    yield receive


class _FailedError(Exception):
    """A stage that is shown has failed."""


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0, text="")

        def display(state: State) -> None:
            progress.update(task, completed=state.fraction, text=state.to_text())

        shown = Stage(title, display, BAR_INTERVAL)
        with shown.shown():
            yield shown.update


@contextlib.contextmanager
def _lines(title: str) -> Iterator[Update]:
    def display(state: State) -> None:
        text = state.to_text()
        say(f"{title}: {state.fraction:4.0%}{', ' + text if text else ''}")

    shown = Stage(title, display, PLAIN_INTERVAL)
    with shown.shown():
        yield shown.update


@contextlib.contextmanager
def _json_lines(title: str) -> Iterator[Update]:
    """The first object at the start, the last one, with the fraction 1, at the end without an exception."""

    def display(state: State) -> None:
        say(json.dumps(asdict(state)))

    shown = Stage(title, display, JSON_INTERVAL)
    display(shown.state())
    with shown.shown():
        yield shown.update
    shown.update(1.0)
    display(shown.state())
