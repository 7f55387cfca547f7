"""Types of options that several jobs and commands share: what values are valid, and how the help writes them."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar

from tyro.conf import UseAppendAction, arg

from avatar.common.frame_rate import MAX_FPS
from avatar.common.ranges import Between

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
HeldOutFraction = Annotated[OptionalFloat, Between(0, 0.9)]
HeldOutYaw = Annotated[OptionalFloat, Between(1, 60)]
HeldOutEvery = Annotated[OptionalInt, Between(2, 1_000_000)]
#: Landmark passes per frame.
PASSES = Between(1, 64)
#: For `avatar.jobs.appearance`.
AppearanceName = Annotated[str | None, arg(metavar="NAME|NAME=.7,OTHER=.3")]
#: For `parse_gain`; several options are combined.
Gain = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=FACTOR,...")]

#: For `avatar.jobs.recording`; one option per file.
Record = Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="PATH")]

Options = TypeVar("Options")


def with_paths(options: Options) -> Options:
    """The options of a job, a dataclass, with a `Path` for every text in a field that is one."""
    hints = typing.get_type_hints(type(options), include_extras=True)
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if isinstance(value, str) and _is_path(hints[field.name]):
            changes[field.name] = Path(value)
        elif dataclasses.is_dataclass(value):
            changes[field.name] = with_paths(value)
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]


def _is_path(hint: Any) -> bool:
    """Whether a type annotation is a path, or an optional one."""
    return hint is Path or any(_is_path(each) for each in typing.get_args(hint))
