"""One command line from its arguments to its exit code: streams, interrupts, log and error messages."""

from __future__ import annotations

import errno
import gc
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from avatar import __version__
from avatar.cli.exit_codes import DONE, FAILED, INTERRUPTED
from avatar.cli.interrupt import cause, exit_code, interrupts_raise
from avatar.cli.progress import Display, choose_display, say
from avatar.common.files import os_error_sentence, write_error
from avatar.common.printable import single_line
from avatar.common.streams import GuardedStream, guarded_streams
from avatar.errors import HeadsplatError

_STOPPED = (
    "a rendered video or image folder keeps the frames so far, other incomplete outputs were "
    "removed, an unfinished capture is kept: repeat its command to resume it"
)
#: Errors of a stream that nobody reads any more: a closed pipe and a closed terminal.
_UNREAD = (errno.EPIPE, errno.EIO)


class _LogHandler(logging.Handler):
    """Prints log records like all other messages."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def run(argv: Sequence[str] | None) -> int:
    """Run the command line `argv`; None: that of this process, which then ends with the command.

    Returns:
        The exit code, see `avatar.cli.main`.
    """
    if argv is not None:
        return _run_command(list(argv), process=False)
    # With PyTorch, collections while libraries are imported take 0.2 s, and the one at the end half a second.
    gc.set_threshold(10_000, 20, 20)
    try:
        return _run_command(sys.argv[1:], process=True)
    finally:
        gc.freeze()


def _run_command(arguments: list[str], *, process: bool) -> int:
    debug = "--debug" in arguments
    with guarded_streams() as stdout:
        try:
            arguments = _with_display([argument for argument in arguments if argument != "--debug"])
            with interrupts_raise(process=process):
                code, has_file = _run(arguments, debug)
        except KeyboardInterrupt:
            return _fail(f"stopped by {cause()}; {_STOPPED}", debug, exit_code())
        except Exception as error:
            return _fail(_message(error), debug, FAILED)
        if code == INTERRUPTED:
            return exit_code()
        if code == DONE and not has_file and (lost := _unprinted(stdout)) is not None:
            return _fail(lost, debug, FAILED)
        return code


def _with_display(arguments: list[str]) -> list[str]:
    """Choose the display of progress; returns the arguments without the options of it.

    Raises:
        HeadsplatError: an unknown display.
    """
    display: Display = "quiet" if "--quiet" in arguments else "auto"
    rest = [argument for argument in arguments if argument != "--quiet"]
    for index, argument in enumerate(rest):
        name, _, value = argument.partition("=")
        if name == "--progress":
            count = 1 if value else 2
            value = value or " ".join(rest[index + 1 : index + 2])
            if value != "json":
                raise HeadsplatError(f"--progress {value}".strip() + ": the only form is json; write --progress json")
            if display == "auto":
                display = "json"
            rest = rest[:index] + rest[index + count :]
            break
    choose_display(display)
    return rest


def _run(arguments: list[str], debug: bool) -> tuple[int, bool]:
    """Run a command; returns its exit code, and whether its result is a file, so that what it prints is only a log."""
    if arguments == ["--version"]:
        print(f"headsplat {__version__}")
        return DONE, False
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(message)s", handlers=[_LogHandler()]
    )
    from avatar.cli.commands import parse

    command = parse(arguments)
    return command.run(), hasattr(command, "out")


def _unprinted(stdout: GuardedStream) -> str | None:
    """Why the printed results are lost; None if they are printed, or nobody reads them (`headsplat info x | head`)."""
    stdout.flush()
    failure = stdout.failure
    if failure is None or getattr(failure, "errno", None) in _UNREAD:
        return None
    return str(write_error(Path("standard output"), failure))


def _message(error: Exception) -> str:
    if isinstance(error, HeadsplatError):
        return str(error)
    if isinstance(error, OSError):
        return os_error_sentence(error)
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text:
        return "out of memory; use a smaller --size, fewer frames, or close other programs"
    return f"internal error ({type(error).__name__}: {text}); run again with --debug and report the traceback"


def _fail(message: str, debug: bool, code: int) -> int:
    if debug:
        traceback.print_exc()
    say(f"headsplat: {single_line(message)}")
    return code
