"""Types of options that several jobs and commands share: what values are valid, and how the help writes them."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeVar

from tyro.conf import UseAppendAction, arg

from avatar.common.frame_rate import MAX_FPS
from avatar.common.ranges import Between, check_numbers
from avatar.errors import HeadsplatError

Out = Annotated[Path, arg(aliases=["-o"], metavar="PATH")]
EMBEDDED = "embedded"  # as in avatar.head, whose import loads torch
# `typing.Optional`: tyro checks a default of type `X | None` by typeguard, whose import takes 30 ms.
OptionalHead = Annotated[Optional[str], arg(metavar="embedded|FILE")]  # noqa: UP045
OptionalPath = Annotated[Optional[Path], arg(metavar="PATH")]  # noqa: UP045
OptionalInt = Annotated[Optional[int], arg(metavar="INT")]  # noqa: UP045
OptionalText = Annotated[Optional[str], arg(metavar="NAME")]  # noqa: UP045
Device = Annotated[str, arg(metavar="auto|cpu|cuda[:N]")]
OptionalFloat = Annotated[Optional[float], arg(metavar="FLOAT")]  # noqa: UP045
#: Frames per second.
OptionalFps = Annotated[OptionalFloat, Between(0.01, MAX_FPS)]
#: Of random numbers.
SEED = Between(0, 2**32 - 1)
#: Longer side of images in pixels.
SIDE = Between(32, 4096)
#: Seconds until something ends, at most a year.
DURATION = Between(0, 31_536_000, above=True)
#: Seconds of a smoothing window.
MAX_WINDOW = 10
#: Millimeters between the pupils of a person, or of a doll or a giant; of the diameter of an iris.
INTEROCULAR = Between(10, 300)
IRIS = Between(2, 60)
HeldOutFraction = Annotated[OptionalFloat, Between(0, 0.9)]
HeldOutYaw = Annotated[OptionalFloat, Between(1, 60)]
HeldOutEvery = Annotated[OptionalInt, Between(2, 1_000_000)]
#: Landmark passes per frame.
PASSES = Between(1, 64)
#: For `avatar.jobs.appearance`.
AppearanceName = Annotated[str | None, arg(metavar="NAME|NAME=.7,OTHER=.3")]
#: For `parse_gain`; several options are combined.
Gain = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=FACTOR,...")]

#: For `avatar.jobs.sending`; one option per receiver.
Send = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="vmc|livelink|ifacialmocap[:HOST[:PORT]]")]
#: For `avatar.jobs.recording`; one option per file.
Record = Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="PATH")]

Options = TypeVar("Options")


def checked(options: Options) -> Options:
    """The options of a job, a dataclass: with a `Path` for every text in a field of paths.

    Raises:
        HeadsplatError: a number is outside its range, or a text is none of those that its field may have.
    """
    check_numbers(options)
    return _checked(options)


def _checked(options: Options) -> Options:
    hints = typing.get_type_hints(type(options), include_extras=True)
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        parts = list(_parts(hints[field.name]))
        if dataclasses.is_dataclass(value):
            changes[field.name] = _checked(value)
        elif Path in parts and value is not None:
            several = any(typing.get_origin(part) is tuple for part in parts)
            paths = (value,) if isinstance(value, str | Path) else tuple(value)
            changes[field.name] = tuple(map(Path, paths)) if several else Path(value)
        elif value is not None:
            _check_choice(field.name, value, parts)
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]


def _parts(hint: Any) -> Iterator[Any]:
    """A type annotation, and the types in it."""
    yield hint
    for part in () if typing.get_origin(hint) is Literal else typing.get_args(hint):
        yield from _parts(part)


def _check_choice(name: str, value: Any, parts: Sequence[Any]) -> None:
    """Raise HeadsplatError where only some texts are valid and `value` is none of them."""
    choices = [choice for part in parts if typing.get_origin(part) is Literal for choice in typing.get_args(part)]
    if choices and value not in choices:
        raise HeadsplatError(f"--{name.replace('_', '-')}: expected {', '.join(map(str, choices))}, got {value!r}")
