"""Options of a row of a manifest as arguments of the single command that the row stands for."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Argument
from avatar.fleet.manifest import COLUMNS, ManifestRow
from avatar.fleet.rows import FleetSetup
from avatar.fleet.store import is_url
from avatar.jobs.evaluating import EvaluateOptions
from avatar.jobs.rendering import RenderOptions
from avatar.jobs.speech_options import SpeechOptions
from avatar.jobs.training import CAPTURE_OPTIONS, TrainOptions

_JOBS = {"train": TrainOptions, "render": RenderOptions, "eval": EvaluateOptions}
_SPEECH = {field.name for field in dataclasses.fields(SpeechOptions)}
#: What a fleet gives by itself, what needs a window, and speech: a fleet renders motions.
_RESERVED = {
    "train": {"source", "out", "resume", "overwrite", "view"},
    "render": {"avatars", "motion", "out", "frames", "overwrite", "speak", *_SPEECH},
    "eval": {"avatar", "capture", "json", "markdown", "save_images", "overwrite"},
}
#: Options of a fleet's own, beside those of the command.
_OWN = {"render": {"format"}}
#: Text options that may also name a file.
_MAYBE_FILES = {"background", "camera", "relight", "lpips", "head", "motion_head", "perceptual"}


#: Part of a video that a sweep holds out.
_HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True)
class _Option:
    name: str  # with underscores
    hint: Any
    default: Any


def check_columns(rows: Sequence[ManifestRow], path: str) -> None:
    """Raise HeadsplatError for a column of the manifest that no command knows."""
    for column in dict.fromkeys(column for row in rows for column in row.values):
        command, separator, option = column.partition(".")
        if column in COLUMNS:
            continue
        if not column:
            raise HeadsplatError(f"{path}: a column with values has no name; write one into the header")
        if separator and command in _JOBS:
            _check_option(command, option, f"{path}: column {column}")
            continue
        commands = [each for each in _JOBS if column.replace("-", "_") in _known(each)]
        names = " or ".join(f"{each}.{column}" for each in commands)
        hint = (
            f"write {names}" if commands else f"known are {', '.join(COLUMNS)} and COMMAND.OPTION, such as train.seed"
        )
        raise HeadsplatError(f"{path}: column {column}: unknown; {hint}")


def _check_option(command: str, option: str, where: str) -> None:
    name = option.replace("-", "_")
    known = _known(command)
    if name in known:
        return
    if name in _RESERVED[command]:
        raise HeadsplatError(f"{where}: `headsplat fleet` gives this option itself; remove the column")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {command}.{near[0].replace('_', '-')}?" if near else f"see `headsplat {command} --help`"
    raise HeadsplatError(f"{where}: `headsplat {command}` has no such option; {hint}")


def row_arguments(command: str, row: ManifestRow, setup: FleetSetup) -> list[Argument]:
    """The options of a row as arguments of `headsplat COMMAND`."""
    known = _known(command)
    arguments = list[Argument]()
    for name, value in row.options(command).items():
        if name in _OWN.get(command, ()):
            continue
        option = known[name]
        flag = "--" + name.replace("_", "-")
        if isinstance(option.default, bool):
            if (given := _boolean(row, f"{command}.{name}", value)) != option.default:
                arguments.append(flag if given else f"--no-{flag[2:]}")
        else:
            entries = value if isinstance(value, list) else [value]
            if len(entries) > 1 and not _is_repeated(option.hint):
                raise HeadsplatError(f"{row.where}: {command}.{flag[2:]} has {len(entries)} values; give one")
            for entry in entries:
                arguments += [flag, _argument(option, _text(entry), setup)]
    return arguments


def sweep_arguments(command: str, row: ManifestRow, setup: FleetSetup) -> list[Argument]:
    """The options of a row for a command of a sweep, where a video is captured before its trainings.

    Args:
        command: capture, train or eval. `capture` gets what `headsplat train` gives to the capture of a video, and
            holds out the last fifth of it unless the row says otherwise.
        row: of the manifest.
        setup: of the command.
    """
    if command == "eval":
        return row_arguments("eval", row, setup)
    of_capture = {key for key in row.values if key.removeprefix("train.").replace("-", "_") in CAPTURE_OPTIONS}
    chosen = {key: value for key, value in row.values.items() if (key in of_capture) == (command == "capture")}
    if command == "capture" and not any(key.startswith("train.test") for key in chosen):
        chosen["train.test_fraction"] = _HELD_OUT
    return row_arguments("train", dataclasses.replace(row, values=chosen), setup)


def _argument(option: _Option, text: str, setup: FleetSetup) -> Argument:
    is_path = _is_path(option.hint)
    if not is_path and option.name not in _MAYBE_FILES:
        return text
    located = setup.located(text)
    if is_path or is_url(text) or (not is_url(located.url) and Path(located.url).is_file()):
        return located
    return text


def _known(command: str) -> dict[str, _Option]:
    options = {option.name: option for option in _options(_JOBS[command]) if option.name not in _RESERVED[command]}
    return options | {name: _Option(name, str, None) for name in _OWN.get(command, ())}


def _options(job: type) -> Iterator[_Option]:
    """The options of a job, with those of its groups."""
    hints = typing.get_type_hints(job, include_extras=True)
    for field in dataclasses.fields(job):
        group = next((each for each in _parts(hints[field.name]) if dataclasses.is_dataclass(each)), None)
        if isinstance(group, type):
            yield from _options(group)
        else:
            yield _Option(field.name, hints[field.name], field.default)


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in typing.get_args(hint):
        yield from _parts(part)


def _is_path(hint: Any) -> bool:
    return any(part is Path for part in _parts(hint))


def _is_repeated(hint: Any) -> bool:
    """Whether an option may be given several times."""
    return any(typing.get_origin(part) is tuple for part in _parts(hint))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # Parquet stores whole numbers so where some are missing
        return str(int(value))
    return str(value).strip()


def _boolean(row: ManifestRow, column: str, value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if (given := words.get(_text(value).lower())) is None:
        raise HeadsplatError(f"{row.where}: {column.replace('_', '-')} is {_text(value)!r:.40}; give true or false")
    return given
