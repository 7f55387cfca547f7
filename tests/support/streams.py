"""Commands with broken standard streams, each in a forked process that ends like any other.

`python -m tests.support.streams` imports everything once, reads a JSON list of runs from stdin and forks for each. A
run is {"arguments", "streams"} with one of the names of `_BROKEN`; its messages, where it still has any, go to "log".
"""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import killing

ROOT = Path(__file__).parents[2]
_SECONDS = 60


def run_all(runs: list[dict[str, Any]], timeout: float = 400.0) -> list[int]:
    """Run commands one after another; returns their exit codes."""
    return killing.run_all(runs, timeout, "tests.support.streams")


def _closed() -> None:
    os.close(1)
    os.close(2)


def _full() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    os.dup2(full, 2)


def _unread() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)


def _unread_results() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


def _full_results() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _dropped_terminal() -> None:
    """A terminal that is closed in the fourth step of a training, while the progress bar is shown."""
    from avatar.training.trainer import Trainer

    terminal, ours = pty.openpty()
    os.dup2(ours, 1)
    os.dup2(ours, 2)
    os.close(ours)
    step = Trainer.step

    def dropped(trainer: Trainer, fraction: float) -> float:
        if trainer.steps_done == 3:
            os.close(terminal)
        return step(trainer, fraction)

    Trainer.step = dropped  # type: ignore[method-assign]


_BROKEN: dict[str, Callable[[], None]] = {
    "closed": _closed,
    "full": _full,
    "unread": _unread,
    "unread results": _unread_results,
    "full results": _full_results,
    "ascii": lambda: None,
    "dropped terminal": _dropped_terminal,
}


def _start(run: dict[str, Any]) -> None:
    """Replace the streams of this process, as the interpreter does at its start."""
    log = os.open(run["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    _BROKEN[run["streams"]]()
    encoding = "ascii" if run["streams"] == "ascii" else "utf-8"
    closed = run["streams"] == "closed"
    stdout, stderr = (None, None) if closed else (os.fdopen(1, "wb", closefd=False), os.fdopen(2, "wb", closefd=False))
    sys.stdout = stdout and io.TextIOWrapper(stdout, encoding)  # type: ignore[assignment]
    sys.stderr = stderr and io.TextIOWrapper(  # type: ignore[assignment]
        stderr, encoding, "backslashreplace", line_buffering=True
    )
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
    sys.argv = ["headsplat", *run["arguments"]]


def _main() -> None:
    import torch

    torch.set_num_threads(1)  # threads do not exist in forked processes
    from tests.support.killing import import_for_training

    import_for_training()
    codes = []
    for run in json.load(sys.stdin):
        child = os.fork()
        if not child:
            signal.alarm(_SECONDS)  # ends a run that hangs
            _start(run)
            from avatar.cli import main

            sys.exit(main())
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(codes))


if __name__ == "__main__":
    _main()
