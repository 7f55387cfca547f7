"""The outputs of a command: checked together and against its inputs before any work, and locked while it runs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from avatar.common.files import check_name, check_output, check_replaceable_folder, path_text
from avatar.common.locks import locked
from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class Output:
    """One output of a command."""

    path: Path
    option: str = "-o"  # that names it
    suffixes: tuple[str, ...] = ()  # of which its name must have one; none: the command checks that itself
    folder: bool = False
    in_place: bool = False  # a folder that is filled file by file; the command checks what it contains
    renewed: bool = False  # a file that is replaced without the option too, if `ours`
    #: For a file that the user did not name: whether an existing one was written by headsplat. Any other is kept.
    ours: Callable[[Path], bool] | None = None


@contextlib.contextmanager
def reserved(
    outputs: Iterable[Output], inputs: Iterable[str | Path | None] = (), *, overwrite: bool = False
) -> Iterator[None]:
    """Check the outputs of a command and lock them for the block.

    Args:
        outputs: all files and folders that the command writes.
        inputs: files and folders that it reads; entries that do not exist (names of cameras or heads) are ignored.
        overwrite: whether existing outputs may be replaced.

    Raises:
        HeadsplatError: an output is not a name, exists (and `overwrite` is off), has another kind's suffix, is a device
            or a pipe, is an input or inside one, is part of a capture, is given twice, was not written by headsplat,
            cannot be written, or another command is writing it.
    """
    outputs = list(outputs)
    paths = [Path(item) for item in inputs if item is not None]
    _check(outputs, paths, overwrite)
    with contextlib.ExitStack() as locks:
        for output in outputs:
            with _named(output):
                locks.enter_context(locked(_place(output)))
        _check(outputs, paths, overwrite)  # again: another command may have finished in between
        yield


def is_report(path: Path, *names: str) -> bool:
    """Whether `path` is a JSON object with all these keys, as the reports that headsplat writes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and set(names) <= content.keys()


def starts_with(path: Path, text: str) -> bool:
    """Whether the file `path` starts with `text`, as the header comments that headsplat writes."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(text)) == text.encode()
    except OSError:
        return False


def _check(outputs: Sequence[Output], inputs: Sequence[Path], overwrite: bool) -> None:
    inputs = [path for path in inputs if os.path.exists(path)]
    for output in outputs:
        with _named(output):
            check_name(output.path)
            for path in inputs:
                _check_input(output, path)
            _check_capture(_place(output))
            exists_allowed = overwrite or output.in_place or output.renewed
            check_output(output.path, exists_allowed, folder=output.folder, in_place=output.in_place)
            _check_suffix(output)
            if output.path.exists():
                _check_replaceable(output)
    for first, second in combinations(outputs, 2):
        _check_pair(first, second)


@contextlib.contextmanager
def _named(output: Output) -> Iterator[None]:
    """Let errors name the option of the output."""
    try:
        yield
    except HeadsplatError as error:
        if output.option == "-o":
            raise
        raise HeadsplatError(str(error).replace(" with -o", f" with {output.option}")) from error


def _place(output: Output) -> Path:
    """The path without links: of a folder, or of a file's folder, since a file replaces a link."""
    path = output.path
    if output.folder or not path.suffix:
        return _resolved(path)
    return _resolved(path.parent) / path.name


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links form a loop


def _check_input(output: Output, path: Path) -> None:
    place = _resolved(output.path)
    source = _resolved(path)
    if place == source or (place.exists() and place.samefile(source)):
        raise HeadsplatError(f"{path_text(output.path)}: is also an input of this command; choose another name with -o")
    if place in source.parents:
        raise HeadsplatError(
            f"{path_text(output.path)}: contains the input {path_text(path)}; choose another folder with -o"
        )
    if source in place.parents and place.exists() and not (output.in_place or _is_capture(source)):
        raise HeadsplatError(
            f"{path_text(output.path)}: is part of the input {path_text(path)}; choose another place with -o"
        )


def _is_capture(folder: Path) -> bool:
    return os.path.isfile(folder / "capture.json")


def _check_capture(place: Path) -> None:
    """Raise HeadsplatError for an output with the name of a file or folder of the capture that it is in."""
    for folder in place.parents:
        if _is_capture(folder):
            from capture.workspace import CAPTURE_ENTRIES

            if place.relative_to(folder).parts[0] in CAPTURE_ENTRIES:
                raise HeadsplatError(
                    f"{path_text(place)}: belongs to the capture {path_text(folder)}; choose another place with -o"
                )


def _check_suffix(output: Output) -> None:
    if output.suffixes and not output.path.name.lower().endswith(output.suffixes):
        known = " or ".join(output.suffixes)
        raise HeadsplatError(f"{path_text(output.path)}: a file of another kind; give a name in {known} with -o")


def _check_replaceable(output: Output) -> None:
    if output.path.is_dir() and not output.in_place:
        check_replaceable_folder(output.path)
    elif output.ours is not None and not output.ours(output.path):
        raise HeadsplatError(
            f"{path_text(output.path)}: this command writes a file of that name, and headsplat did not write the one "
            "that is there (or an earlier version did); move or delete it, or choose another name with -o"
        )


def _check_pair(first: Output, second: Output) -> None:
    one = _place(first)
    other = _place(second)
    if one == other or (one.exists() and other.exists() and one.samefile(other)):
        raise HeadsplatError(
            f"{path_text(second.path)}: is given twice, with {first.option} and {second.option}; give each output its "
            "own name"
        )
    for inner, outer in ((one, other), (other, one)):
        if outer in inner.parents:
            raise HeadsplatError(
                f"{path_text(inner)}: is inside another output, {path_text(outer)}; choose another place"
            )
