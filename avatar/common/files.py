"""Atomic output files and folders (complete or absent), and error messages for failed writes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from avatar.errors import HeadsplatError

_DENIED = "permission denied; choose a place you may write to with -o"
_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or write somewhere else with -o",
    errno.EDQUOT: "the disk quota is used up; free some space or write somewhere else with -o",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "the file system is read-only; choose another place with -o",
}


def os_error_sentence(error: OSError) -> str:
    """One sentence for an OSError: the file, the reason, and what to do."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    name = error.filename2 or error.filename
    return f"{os.fspath(name) if isinstance(name, (str, os.PathLike)) else 'writing failed'}: {reason}"


def error_words(error: Exception) -> str:
    """The message of an error without the numbers and file names that FFmpeg and the system add to it."""
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".")


def write_error(path: Path, error: Exception) -> HeadsplatError:
    """The error to raise when the system, or a library that writes on our behalf, could not write the output `path`."""
    reason = _REASONS.get(getattr(error, "errno", None) or 0)
    if reason is None:
        reason = f"cannot be written ({error_words(error)}); choose another place with -o"
    return HeadsplatError(f"{path}: {reason}")


def check_output(path: str | Path, overwrite: bool, *, folder: bool = False) -> Path:
    """Check that the output `path` can be written, create its parent folder if missing, and return it as a Path.

    Args:
        path: the output: a file if it has a suffix, unless `folder` is set.
        overwrite: whether an existing output may be replaced; a folder is never replaced by a file.
        folder: the output is a folder even if its name has a suffix.

    Raises:
        HeadsplatError: it exists and `overwrite` is off, it is a folder and the output is a file, or its parent folder
            cannot be created or written.
    """
    path = Path(path)
    if path.suffix and not folder and path.is_dir():
        raise HeadsplatError(f"{path}: is a folder, and the output is a file; choose another name with -o")
    if path.exists() and not overwrite:
        raise HeadsplatError(f"{path}: exists already; give --overwrite to replace it or choose another name with -o")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise HeadsplatError(f"{path.parent}: is a file, not a folder; choose another place with -o") from error
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error)) from error
    try:
        # Checked by writing a file: permissions alone do not show what a system refuses, and a failure after the work
        # would lose it.
        with tempfile.TemporaryFile(dir=path if path.is_dir() else path.parent, prefix="."):
            return path
    except OSError as error:
        raise write_error(path, error) from error


def temporary_path(path: Path) -> Path:
    """The temporary path at which this process writes the output `path`; `remove_orphans` recognizes its name."""
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")


def remove_orphans(path: Path) -> None:
    """Delete the temporary files or folders of `path` left behind by processes that were killed while writing."""
    if os.name != "posix":  # other systems have no harmless test for whether a process is running
        return
    pattern = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.part(ial)?{re.escape(path.suffix)}")
    with contextlib.suppress(OSError):
        for entry in path.parent.iterdir():
            if (match := pattern.fullmatch(entry.name)) and not _is_running(int(match[1])):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path next to `path`, with its suffix; it replaces `path` on success and is removed on an error.

    Raises:
        HeadsplatError: the disk is full, read-only or refuses the folder.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(path)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers (safetensors) create private files
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _REASONS or error.filename in (temporary, str(temporary)):
            raise write_error(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder next to `path`; it replaces `path` on success and is removed on an error.

    An existing folder at `path` is replaced as a whole; call check_output and check_replaceable_folder first.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error)) from error
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp creates it private
        put_in_place(temporary, path)
    except OSError as error:
        if error.errno in _REASONS:
            raise HeadsplatError(f"{path}: {_REASONS[error.errno]}") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`; an existing folder there is deleted afterwards, or restored on a failure."""
    if not path.exists():
        os.replace(new, path)
        return
    old = new.with_suffix(".old")
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_replaceable_folder(path: Path, patterns: tuple[str, ...], sign: str | None = None) -> None:
    """Raise HeadsplatError unless the folder `path` was written by headsplat and may be replaced.

    Args:
        path: an existing folder.
        patterns: glob patterns of the names it may contain.
        sign: a file it must contain unless it is empty; used where `patterns` alone would match folders of others.
    """
    if path.is_file():
        raise HeadsplatError(f"{path}: is a file, and the output is a folder; choose another name with -o")
    names = {entry.name for entry in path.iterdir()}
    foreign = sorted(name for name in names if not any(map(Path(name).match, patterns)))
    if foreign:
        raise HeadsplatError(
            f"{path}: contains other files too ({foreign[0]}), so it is not replaced; choose another folder with -o"
        )
    if sign is not None and names and sign not in names:
        raise HeadsplatError(
            f"{path}: has no {sign}, so it is not headsplat's and not replaced; choose another folder with -o"
        )
