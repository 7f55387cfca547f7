"""The subcommands by name, and the parser of their arguments."""

from __future__ import annotations

from typing import Annotated, Protocol

import tyro

from avatar.cli.arguments import check_numbers, readable_width
from avatar.cli.bench import BenchCommand
from avatar.cli.blend import BlendCommand
from avatar.cli.capture import CaptureCommand
from avatar.cli.convert import ConvertCommand
from avatar.cli.demo import DemoCommand
from avatar.cli.doctor import DoctorCommand
from avatar.cli.edit import EditCommand
from avatar.cli.evaluate import EvalCommand
from avatar.cli.export import ExportCommand
from avatar.cli.fleet import FleetCommand
from avatar.cli.head import HeadCommand
from avatar.cli.info import InfoCommand
from avatar.cli.join import JoinCommand
from avatar.cli.live import LiveCommand
from avatar.cli.motion import MotionCommand
from avatar.cli.render import RenderCommand
from avatar.cli.synth import SynthCommand
from avatar.cli.train import TrainCommand
from avatar.cli.view import ViewCommand

COMMANDS = {
    "demo": DemoCommand,
    "capture": CaptureCommand,
    "convert": ConvertCommand,
    "train": TrainCommand,
    "eval": EvalCommand,
    "render": RenderCommand,
    "blend": BlendCommand,
    "edit": EditCommand,
    "live": LiveCommand,
    "view": ViewCommand,
    "motion": MotionCommand,
    "join": JoinCommand,
    "export": ExportCommand,
    "fleet": FleetCommand,
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


class Command(Protocol):
    """One parsed subcommand."""

    def run(self) -> int:
        """Run the command; returns the exit code."""
        ...


def parse(arguments: list[str]) -> Command:
    """The command of the command line `arguments`; raises SystemExit after a help text or a usage error.

    Raises:
        HeadsplatError: a number is outside its range.
    """
    subcommands = tuple(
        Annotated[command, tyro.conf.subcommand(name, prefix_name=False)]  # type: ignore[valid-type]
        for name, command in COMMANDS.items()
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
