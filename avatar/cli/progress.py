"""Progress of a command on stderr: a live bar on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

#: Called with the finished fraction 0..1 and a few words.
Update = Callable[[float, str], None]

PLAIN_INTERVAL = 10.0  # seconds between two plain lines of one stage


def say(text: str) -> None:
    """One line for the person, on stderr: stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(title: str) -> Iterator[Update]:
    """Show one stage of work; the block calls what it is given with a fraction and a few words.

    A line with the seconds it took stays behind when the block ends well.
    """
    start = time.monotonic()
    with _bar(title) if sys.stderr.isatty() else _lines(title) as update:
        yield update
    say(f"{title}: done in {time.monotonic() - start:.1f} s")


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0, words="")

        def update(fraction: float, words: str = "") -> None:
            progress.update(task, completed=fraction, words=words)

        yield update


@contextlib.contextmanager
def _lines(title: str) -> Iterator[Update]:
    last = time.monotonic()

    def update(fraction: float, words: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_INTERVAL:
            last = now
            say(f"{title}: {fraction:4.0%}{', ' + words if words else ''}")

    yield update
