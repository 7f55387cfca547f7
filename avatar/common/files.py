"""Atomic output files and folders (complete or absent), and error messages of the file system."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avatar.common.folder_sign import SIGN, sign_folder, signed_names, unlisted_entries
from avatar.common.temporaries import create_file, old_path, remove_orphans, replacement, temporary_path
from avatar.errors import HeadsplatError

_FULL = "the disk is full; free some space or write somewhere else with -o"
#: What to do about errors that only writing can cause.
_WRITE_REASONS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the disk quota is used up; free some space or write somewhere else with -o",
    errno.EROFS: "the file system is read-only; choose another place with -o",
}
_WRITE_ONLY = {*_WRITE_REASONS, errno.EFBIG}
_DENIED = (errno.EACCES, errno.EPERM)
_REASONS = {**_WRITE_REASONS, **dict.fromkeys(_DENIED, "permission denied; choose a place you may write to with -o")}


def path_text(name: str | bytes | os.PathLike[Any]) -> str:
    """A file name as text that can be printed and stored: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def os_error_sentence(error: OSError, path: Path | None = None) -> str:
    """One sentence for an OSError that no writer handled, so mostly of an input: the file, the reason, what to do.

    Args:
        error: the error.
        path: the file, where the error may not name it: errors of opened files do not.
    """
    name = error.filename2 or error.filename or path
    place = path_text(name) if isinstance(name, (str, bytes, os.PathLike)) else None
    if error.errno in _WRITE_REASONS:
        return f"{place or 'writing failed'}: {_WRITE_REASONS[error.errno]}"
    words = error_words(error)
    if error.errno in _DENIED:
        return f"{place or 'an input'}: cannot read it ({words}); check its permissions or give another one"
    if error.errno in (errno.EISDIR, errno.EIO, errno.ENXIO, errno.ESTALE, errno.EINVAL, errno.ELOOP):
        return f"{place or 'an input'}: cannot read it ({words}); check it or give another one"
    return f"{place or 'a file operation failed'}: {words}"


def error_words(error: Exception) -> str:
    """The message of an error without the numbers and file names that FFmpeg and the system add to it."""
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".")


def write_error(path: Path, error: Exception) -> HeadsplatError:
    """The error to raise when the system, or a library that writes on our behalf, could not write the output `path`."""
    reason = _REASONS.get(_number(error) or 0)
    if reason is None:
        reason = f"cannot be written ({error_words(error)}); choose another place with -o"
    return HeadsplatError(f"{path_text(path)}: {reason}")


def _number(error: Exception) -> int | None:
    """The system's number of an error, which libraries state in their messages only."""
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    text = str(error)
    if match := re.search(r"os error (\d+)", text):
        return int(match[1])
    return next((code for code in _REASONS if os.strerror(code) in text), None)


def check_name(path: Path) -> None:
    """Raise HeadsplatError for an output path that does not end in a name: empty, `.`, `..` or the root."""
    if path.name in ("", ".."):
        raise HeadsplatError(f"{str(path)!r} does not name an output; give the name of a file or folder with -o")


def check_output(path: str | Path, overwrite: bool, *, folder: bool = False, in_place: bool = False) -> Path:
    """Check that the output `path` can be written, create its parent folder if missing, and return it as a Path.

    Args:
        path: the output: a file if it has a suffix, unless `folder` is set.
        overwrite: whether an existing output may be replaced; a folder is never replaced by a file, nor the reverse.
        folder: the output is a folder even if its name has a suffix.
        in_place: files are written into an existing folder, which is not replaced as a whole.

    Raises:
        HeadsplatError: it exists and `overwrite` is off, it is a folder and the output is a file or the reverse, it is
            a device, a pipe or a socket, or its parent folder cannot be created or written.
    """
    path = Path(path)
    check_name(path)
    try:
        folder = folder or not path.suffix
        _check_kind(path, folder)
        _make_parent(path)
        # A link to a folder stays, and that folder is replaced.
        target = Path(os.path.realpath(path)) if folder else path
        remove_orphans(target)
        if os.path.lexists(path) and not overwrite:
            raise HeadsplatError(
                f"{path_text(path)}: exists already; give --overwrite to replace it or choose another name with -o"
            )
        # Checked by writing a file: permissions alone do not show what a system refuses, and a failure after the work
        # would lose it.
        trial = temporary_path(target / target.name if in_place and path.is_dir() else target)
        create_file(trial)
        trial.unlink()
    except OSError as error:
        raise write_error(path, error) from error
    return path


def _check_kind(path: Path, folder: bool) -> None:
    if not path.exists():
        return
    if path.is_dir() and not folder:
        raise HeadsplatError(f"{path_text(path)}: is a folder, and the output is a file; choose another name with -o")
    if path.is_file() and folder:
        raise HeadsplatError(f"{path_text(path)}: is a file, and the output is a folder; choose another name with -o")
    if not (path.is_file() or path.is_dir()):
        raise HeadsplatError(
            f"{path_text(path)}: is a device, a pipe or a socket, not a file; choose another name with -o"
        )


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise HeadsplatError(
            f"{path_text(path.parent)}: is a file, not a folder; choose another place with -o"
        ) from error


@contextlib.contextmanager
def atomic_path(path: str | Path, *failures: type[Exception]) -> Iterator[Path]:
    """A temporary path next to `path`, with its suffix; it replaces `path` on success and is removed on an error.

    Args:
        path: the file.
        failures: exceptions by which the library that writes in the block reports that it could not write.

    Raises:
        HeadsplatError: the disk is full, read-only or refuses the folder.
    """
    path = Path(path)
    temporary = _prepare(path)
    try:
        with replacement(path, temporary):
            yield temporary
    except failures as error:
        raise write_error(path, error) from error
    except OSError as error:
        if _is_write_error(error, path, temporary):
            raise write_error(path, error) from error
        raise


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder next to `path`; with a sign file it replaces `path` on success; it is removed on an error.

    An existing folder at `path` is replaced as a whole; call check_output and check_replaceable_folder first.

    Raises:
        HeadsplatError: the disk is full, read-only or refuses the folder.
    """
    path = Path(path)
    target = path.resolve()  # a link to a folder stays, and that folder is replaced
    temporary = _prepare(target)
    try:
        temporary.mkdir()
        yield temporary
        put_in_place(temporary, target)
    except OSError as error:
        if _is_write_error(error, path, temporary):
            raise write_error(path, error) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prepare(path: Path) -> Path:
    """A temporary path for `path`, after its folder is created and what killed processes left there is removed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    remove_orphans(path)
    return temporary_path(path)


def _is_write_error(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether an error in a block that writes `path` is about that, and not about a file that the block reads."""
    if error.errno in _WRITE_ONLY:
        return True
    if isinstance(error.filename, (str, bytes, os.PathLike)):
        name = Path(os.fsdecode(error.filename))
        return name in (path, path.parent) or name.is_relative_to(temporary)
    return error.errno in _REASONS or error.errno == errno.EIO


def put_in_place(new: Path, path: Path) -> None:
    """Sign the temporary folder `new` beside `path` and rename it to `path`, which is no link.

    An existing folder there is deleted afterwards, or restored on a failure; `remove_orphans` does so after a kill.
    """
    sign_folder(new)
    if not path.exists():
        os.replace(new, path)
        return
    old = old_path(new)
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_replaceable_folder(path: Path) -> None:
    """Raise HeadsplatError unless everything in the existing folder `path` was written by headsplat: its sign decides.

    An empty folder may be replaced too, a mounted disk may not.
    """
    if os.path.ismount(path):
        raise HeadsplatError(f"{path_text(path)}: is a mounted disk; choose a folder inside it with -o")
    names = signed_names(path)
    foreign = unlisted_entries(path, names or ())
    if names is None and foreign:
        raise HeadsplatError(
            f"{path_text(path)}: contains other files too ({path_text(foreign[0])}): it has no {SIGN}, the file that "
            "marks headsplat's folders, so it is not replaced; delete it yourself or choose another folder with -o"
        )
    if foreign:
        raise HeadsplatError(
            f"{path_text(path)}: contains other files too ({path_text(foreign[0])}), so it is not replaced; move them "
            "or choose another folder with -o"
        )


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; what UTF-8 cannot store becomes an escape."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
