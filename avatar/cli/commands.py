"""The subcommands by name, and the parser of their arguments."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Protocol

import tyro

from avatar.cli.arguments import readable_width
from avatar.common.ranges import check_numbers

_DESCRIPTION = (
    "Real-time 3D Gaussian-splatting head avatars from a phone video, on any machine. "
    "`headsplat demo` runs the whole pipeline; `headsplat COMMAND --help` explains one command. "
    "All commands: --debug prints the traceback of a failure, --version the version; --quiet shows no progress, "
    "--progress json writes it to stderr as one JSON object a line."
)


class Command(Protocol):
    """One parsed subcommand."""

    def run(self) -> int:
        """Run the command; returns the exit code."""
        ...


class _Commands(Mapping[str, type[Command]]):
    """The class of each subcommand; its module in `avatar.cli` is imported when it is looked up."""

    _classes: Mapping[str, tuple[str, str]] = {
        "demo": ("demo", "DemoCommand"),
        "capture": ("capture", "CaptureCommand"),
        "convert": ("convert", "ConvertCommand"),
        "train": ("train", "TrainCommand"),
        "film": ("film", "FilmCommand"),
        "eval": ("evaluate", "EvalCommand"),
        "render": ("render", "RenderCommand"),
        "blend": ("blend", "BlendCommand"),
        "edit": ("edit", "EditCommand"),
        "live": ("live", "LiveCommand"),
        "view": ("view", "ViewCommand"),
        "serve": ("serve", "ServeCommand"),
        "track": ("track", "TrackCommand"),
        "motion": ("motion", "MotionCommand"),
        "preset": ("preset", "PresetCommand"),
        "join": ("join", "JoinCommand"),
        "export": ("export", "ExportCommand"),
        "fleet": ("fleet", "FleetCommand"),
        "info": ("info", "InfoCommand"),
        "head": ("head", "HeadCommand"),
        "synth": ("synth", "SynthCommand"),
        "doctor": ("doctor", "DoctorCommand"),
        "bench": ("bench", "BenchCommand"),
    }

    def __getitem__(self, name: str) -> type[Command]:
        module, kind = self._classes[name]
        found: type[Command] = getattr(importlib.import_module(f"avatar.cli.{module}"), kind)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


COMMANDS = _Commands()


def parse(arguments: list[str]) -> Command:
    """The command of the command line `arguments`; raises SystemExit after a help text or a usage error.

    Raises:
        HeadsplatError: a number is outside its range.
    """
    command = _parse_one(arguments)
    if command is None:
        command = _parse_all(arguments)
    check_numbers(command)
    return command


def _parse_one(arguments: list[str]) -> Command | None:
    """The command, with only its own module imported; None after wrong usage. Raises SystemExit after a help text."""
    name, *own = arguments or [""]
    if name not in COMMANDS:
        return None
    helps = not {"-h", "--help"}.isdisjoint(own)
    try:
        return _parsed(COMMANDS[name], own, f"headsplat {name}", quiet=not helps)
    except SystemExit:
        if helps:
            raise
        return None


def _parse_all(arguments: list[str]) -> Command:
    """The command by the parser of all commands, whose hints on wrong usage name the options of the others too."""
    subcommands = tuple(
        Annotated[command, tyro.conf.subcommand(name, prefix_name=False)]  # type: ignore[valid-type]
        for name, command in COMMANDS.items()
    )
    union = subcommands[0]
    for subcommand in subcommands[1:]:
        union = union | subcommand  # type: ignore[assignment]
    return _parsed(union, arguments, "headsplat", _DESCRIPTION)


def _parsed(
    kind: object, arguments: list[str], prog: str, description: str | None = None, quiet: bool = False
) -> Command:
    """The command of `kind` (a class, or a union of subcommands); raises SystemExit without a message where `quiet`."""
    with readable_width():
        command: Command = tyro.cli(  # type: ignore[call-overload]
            kind,
            prog=prog,
            description=description,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
            console_outputs=not quiet,
        )
    return command
