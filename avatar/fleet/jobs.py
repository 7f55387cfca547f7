"""Jobs of a fleet: one command each, with its inputs, its outputs and what it needs, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias


@dataclass(frozen=True)
class Input:
    """An argument that names a file or folder to read."""

    url: str  # absolute path, or URL of a file system of fsspec
    label: str  # as the manifest names it, or the path in the store
    copied: bool = False  # the command writes into it: it gets a copy, which is one of its outputs
    sha256: str | None = None  # of a file that a job wrote; None: any content


@dataclass(frozen=True)
class Output:
    """An argument that names an output of the command; the job's folder in the store has it by this name."""

    name: str


Argument: TypeAlias = "str | Input | Output"


@dataclass(frozen=True)
class Needs:
    """What a job occupies while it runs."""

    cores: int = 1
    gpus: float = 0.0  # a fraction: several jobs share one
    memory: int = 0  # bytes


@dataclass(frozen=True)
class Job:
    """One `headsplat` command whose outputs become one folder of the store."""

    key: str  # of the folder, such as "train/anna"; unique in a store
    row: str  # name of the row of the manifest
    arguments: tuple[Argument, ...]  # of the command line, without the program
    needs: Needs = field(default_factory=Needs)
    time_limit: float | None = None  # seconds
    pieces: tuple[str, ...] = ()  # keys of jobs that rendered the frames, which this job only joins
    frames: str | None = None  # A:B, of a job that renders a piece of a film
    whole: Job | None = None  # the job that this one does if the film is no longer than the piece

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The arguments that are read."""
        return tuple(each for each in self.arguments if isinstance(each, Input))

    @property
    def command_line(self) -> list[str]:
        """The arguments as the manifest writes them, without paths of one machine: to compare two runs of a job."""
        return [each if isinstance(each, str) else _label(each) for each in self.arguments]

    def with_memory(self, memory: int) -> Job:
        """The same job with another need of memory in bytes."""
        return replace(self, needs=replace(self.needs, memory=memory))

    def piece(self, key: str, frames: str, *, first: bool) -> Job:
        """The job that renders only `frames` (A:B) of this film; the `first` one is the film if that is short."""
        arguments = (*self.arguments, "--frames", frames)
        return replace(self, key=key, arguments=arguments, frames=frames, whole=self if first else None)


def _label(argument: Input | Output) -> str:
    return argument.label if isinstance(argument, Input) else argument.name


@dataclass(frozen=True)
class Outcome:
    """How a job ended on a worker."""

    key: str
    sentence: str | None  # why it failed; None: its outputs are in the store
    retry: bool = False  # whether another attempt may succeed: a process that was killed, a store that did not answer
    no_memory: bool = False  # it may have been killed because the machine had no memory left
    seconds: float = 0.0  # wall-clock, fetching and storing included
    cpu_seconds: float = 0.0  # of the command
    memory: int = 0  # bytes, largest resident set of the command
    node: str = ""  # name of the machine
    log: str = ""  # the last lines that the command printed
    frames: int | None = None  # of the whole film, after the rendering of a piece
    whole: bool = False  # the piece was the whole film
