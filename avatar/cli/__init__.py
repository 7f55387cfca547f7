"""The `headsplat` command: one file per subcommand, arguments as frozen dataclasses; only this package prints."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Protocol

import tyro

from avatar import __version__
from avatar.cli.arguments import check_numbers, readable_width
from avatar.cli.bench import BenchCommand
from avatar.cli.capture import CaptureCommand
from avatar.cli.convert import ConvertCommand
from avatar.cli.demo import DemoCommand
from avatar.cli.doctor import DoctorCommand
from avatar.cli.evaluate import EvalCommand
from avatar.cli.exit_codes import DONE, FAILED, INTERRUPTED
from avatar.cli.export import ExportCommand
from avatar.cli.head import HeadCommand
from avatar.cli.info import InfoCommand
from avatar.cli.join import JoinCommand
from avatar.cli.live import LiveCommand
from avatar.cli.motion import MotionCommand
from avatar.cli.progress import say
from avatar.cli.render import RenderCommand
from avatar.cli.synth import SynthCommand
from avatar.cli.train import TrainCommand
from avatar.cli.view import ViewCommand
from avatar.common.files import os_error_sentence
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError

_COMMANDS = {
    "demo": DemoCommand,
    "capture": CaptureCommand,
    "convert": ConvertCommand,
    "train": TrainCommand,
    "eval": EvalCommand,
    "render": RenderCommand,
    "live": LiveCommand,
    "view": ViewCommand,
    "motion": MotionCommand,
    "join": JoinCommand,
    "export": ExportCommand,
    "info": InfoCommand,
    "head": HeadCommand,
    "synth": SynthCommand,
    "doctor": DoctorCommand,
    "bench": BenchCommand,
}
_DESCRIPTION = (
    "Real-time 3D Gaussian-splatting head avatars from a phone video, on any machine. "
    "`headsplat demo` runs the whole pipeline; `headsplat COMMAND --help` explains one command. "
    "All commands: --debug prints the traceback of a failure, --version the version."
)
_STOPPED = (
    "stopped by Ctrl-C; a rendered video or image folder keeps the frames so far, other incomplete outputs were "
    "removed, an unfinished capture is kept: repeat its command to resume it"
)


class Command(Protocol):
    """One parsed subcommand."""

    def run(self) -> int:
        """Run the command; returns the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return the exit code.

    0 done, 1 failed with a message on stderr, 130 interrupted; usage errors raise SystemExit(2).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments == ["--version"]:
        print(f"headsplat {__version__}")
        return DONE
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may contain bytes that are not UTF-8
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(message)s")
    try:
        return _parse(arguments).run()
    except KeyboardInterrupt:
        return _fail(_STOPPED, debug, INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout has exited (`headsplat ... | head`): nothing may be flushed into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _fail(_message(error), debug, FAILED)


def _parse(arguments: list[str]) -> Command:
    subcommands = tuple(
        Annotated[command, tyro.conf.subcommand(name, prefix_name=False)]  # type: ignore[valid-type]
        for name, command in _COMMANDS.items()
    )
    union = subcommands[0]
    for subcommand in subcommands[1:]:
        union = union | subcommand  # type: ignore[assignment]
    with readable_width():
        command: Command = tyro.cli(  # type: ignore[call-overload]
            union,
            prog="headsplat",
            description=_DESCRIPTION,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    check_numbers(command)
    return command


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
