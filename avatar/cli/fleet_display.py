"""Progress of a fleet for people: a table on a terminal, otherwise lines; and the summary at the end."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

from avatar.cli.progress import PLAIN_INTERVAL, Update, display_of_process, say, stage
from avatar.common.jsonable import counted
from avatar.common.printable import single_line

if TYPE_CHECKING:
    from avatar.fleet.runner import Event, Runner

_SHOWN_JOBS = 12
_RECENT = 5


class FleetDisplay:
    """Shows the state of a runner; use it as a context manager.

    Args:
        title: of the work, such as "training".
        total: number of rows.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._start = self._said = time.monotonic()
        self._started: dict[str, float] = {}
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._live: Any = None
        self._stage = contextlib.ExitStack()
        self._update: Update | None = None  # of a stage that stands for table and lines: JSON, or nothing
        self.runner: Runner | None = None

    def __enter__(self) -> FleetDisplay:
        if display_of_process() != "auto":
            self._update = self._stage.enter_context(stage(self._title))
        elif sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
        self._stage.__exit__(kind, error, trace)

    def show(self, event: Event) -> None:
        """Show what has happened."""
        if event.kind == "start":
            self._started[event.job] = time.monotonic()
        elif event.job:
            self._started.pop(event.job, None)
        if (line := _line(event)) is not None and (self._update is None or event.kind != "done"):
            if self._live is None:
                say(line)
            else:
                self._recent.append(line)
        self._refresh()

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._update is not None:
            self._update(self._done() / max(1, self._total), self._status(now))
        elif self._live is not None:
            self._live.update(self._table(now))
        elif now - self._said >= 3 * PLAIN_INTERVAL:
            self._said = now
            say(self._status(now))

    def _done(self) -> int:
        return 0 if self.runner is None else len(self.runner.finished) + len(self.runner.skipped)

    def _status(self, now: float) -> str:
        runner = self.runner
        if runner is None:
            return self._title
        parts = [f"{self._title}: {self._done()} of {counted(self._total, 'row')}"]
        if runner.failed:
            parts.append(f"{len(runner.failed)} failed")
        parts.append(f"{counted(len(self._started), 'job')} running or queued")
        if runner.finished:
            seconds = (now - self._start) / len(runner.finished) * runner.left
            parts.append(f"about {_duration(seconds)} left")
        return ", ".join(parts)

    def _table(self, now: float) -> Any:
        from rich.console import Group
        from rich.markup import escape
        from rich.table import Table

        table = Table("job", "seconds", box=None, pad_edge=False)
        for key, start in itertools.islice(self._started.items(), _SHOWN_JOBS):
            table.add_row(escape(single_line(key)), f"{now - start:.0f}")
        hidden = len(self._started) - _SHOWN_JOBS
        if hidden > 0:
            table.add_row(f"and {hidden} more", "")
        return Group(escape(self._status(now)), table, *(escape(line) for line in self._recent))


def _line(event: Event) -> str | None:
    """A line about an event; None if it is not worth one."""
    seconds = "" if event.outcome is None else f" in {event.outcome.seconds:.1f} s on {event.outcome.node}"
    if event.kind == "done":
        return single_line(f"{event.job}: done{seconds}")
    if event.kind == "retry":
        return single_line(f"{event.job}: runs again: {event.reason}")
    if event.kind == "failed":
        return single_line(f"{event.row}: failed: {event.reason}")
    return None


def summary(runner: Runner, seconds: float) -> str:
    """One line at the end."""
    parts = [f"{counted(len(runner.finished), 'row')} done in {_duration(seconds)}"]
    if runner.skipped:
        parts.append(f"{len(runner.skipped)} done before")
    if runner.failed:
        parts.append(f"{len(runner.failed)} failed")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
