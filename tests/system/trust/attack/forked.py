"""Work in forked children of a process that has imported everything: commands that are killed, and their checks."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.cli.exit_codes import INTERRUPTED

#: Seconds after which a child that was not killed counts as hanging.
LIMIT = 60.0
#: Python's audit events that change files.
EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")


@dataclass(frozen=True)
class Ended:
    """A child that has ended."""

    code: int  # exit code, or minus the signal
    text: str  # what it wrote to stdout and stderr
    seconds: float

    @property
    def hung(self) -> bool:
        """Whether it was killed because it did not end."""
        return self.seconds >= LIMIT


def run_forked(
    work: Callable[[], int],
    *,
    setup: Sequence[Callable[[], None]] = (),
    kill: int = 0,
    after: float | None = None,
) -> Ended:
    """Run `work` in a forked child.

    Args:
        work: returns the exit code.
        setup: called before, with stdout and stderr in place: a pipe, to which no limit of the size of files applies.
        kill: the signal to send; 0: none.
        after: seconds after which it is sent; None: `setup` takes care of it.
    """
    start = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(work, writing, setup)
    os.close(writing)
    os.set_blocking(reading, False)
    text, status = bytearray(), None
    while status is None:
        _read(reading, text)
        passed = time.monotonic() - start
        if kill and after is not None and passed >= after:
            os.kill(child, kill)
            kill = 0
        if passed >= LIMIT:
            os.kill(child, signal.SIGKILL)
        found, value = os.waitpid(child, os.WNOHANG)
        status = value if found else None
        time.sleep(0 if found else 0.005)
    _read(reading, text)
    os.close(reading)
    return Ended(os.waitstatus_to_exitcode(status), text.decode("utf-8", "replace"), time.monotonic() - start)


def _read(stream: int, text: bytearray) -> None:
    """Append what a pipe holds."""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(stream, 1 << 16):
            text += data


def _child(work: Callable[[], int], stream: int, setup: Sequence[Callable[[], None]]) -> None:
    """Never returns."""
    code = 1
    try:
        for number in (1, 2):
            os.dup2(stream, number)
        os.close(stream)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", errors="backslashreplace")
        for step in setup:
            step()
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, KeyboardInterrupt) and not any("/avatar/" in frame.filename for frame in frames):
            code = INTERRUPTED  # before the command began
        else:
            with contextlib.suppress(BaseException):
                traceback.print_exc()
    for output in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            output.flush()
    os._exit(code)


def call_forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function that runs in a forked child, so that its threads do not survive; raises RuntimeError."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            result: tuple[bool, Any] = (True, function(*arguments))
        except BaseException:
            result = (False, traceback.format_exc())
        with os.fdopen(writing, "wb") as stream:
            pickle.dump(result, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    fine, value = pickle.loads(content) if content else (False, f"the process ended with {status}")
    if not fine:
        raise RuntimeError(value)
    return value


def signal_at(event: int, number: int, folder: Path) -> Callable[[], None]:
    """A setup that sends signal `number` to its process at the `event`-th change of a file below `folder`."""

    def install() -> None:
        remaining, lock = [event], threading.Lock()

        def hook(name: str, arguments: tuple[Any, ...]) -> None:
            if changes_file(name, arguments, folder):
                with lock:
                    remaining[0] -= 1
                    if remaining[0] == 0:
                        os.kill(os.getpid(), number)

        sys.addaudithook(hook)

    return install


def count_changes(folder: Path, report: Path) -> Callable[[], None]:
    """A setup that counts the changes of files below `folder` in the size of the file `report`."""

    def install() -> None:
        stream = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def hook(name: str, arguments: tuple[Any, ...]) -> None:
            if changes_file(name, arguments, folder):
                os.write(stream, b".")

        sys.addaudithook(hook)

    return install


def changes_file(name: str, arguments: tuple[Any, ...], folder: Path) -> bool:
    """Whether an audit event changes a file below `folder`."""
    if name not in EVENTS or not arguments or not isinstance(arguments[0], (str, os.PathLike)):
        return False
    if name == "open":
        mode, flags = arguments[1], arguments[2]
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & os.O_ACCMODE)
        if not writes:
            return False
    return os.path.join(os.getcwd(), os.fspath(arguments[0])).startswith(str(folder))
