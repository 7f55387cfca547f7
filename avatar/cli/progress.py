"""Progress of a command on stderr: a bar on a terminal, otherwise a line at intervals."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from avatar.common.printable import printable

#: Called with the finished fraction 0..1 and a short text.
Update = Callable[[float, str], None]

PLAIN_INTERVAL = 10.0  # seconds between two lines of one stage


def say(text: str) -> None:
    """Print a message to stderr; stdout is for results. Control characters are escaped: text of files may have some."""
    print(printable(text), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result, or a part of it, to stdout; control characters are escaped as by `say`."""
    print(printable(text), flush=True)


@contextlib.contextmanager
def stage(title: str) -> Iterator[Update]:
    """Show the progress of one stage; the block calls the yielded function with a fraction and a short text.

    Prints the duration when the block ends without an exception.
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
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0, text="")

        def update(fraction: float, text: str = "") -> None:
            progress.update(task, completed=fraction, text=text)

        yield update


@contextlib.contextmanager
def _lines(title: str) -> Iterator[Update]:
    last = time.monotonic()

    def update(fraction: float, text: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_INTERVAL:
            last = now
            say(f"{title}: {fraction:4.0%}{', ' + text if text else ''}")

    yield update
