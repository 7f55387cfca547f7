"""Temporary files and folders beside an output: one per writer, and recognized when their process was killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: Seconds after which a temporary file of another machine counts as left behind: its processes cannot be checked.
_ABANDONED_AFTER = 7 * 24 * 3600.0
_OLD = ".old"


def temporary_path(path: Path) -> Path:
    """A temporary path beside the output `path`, with its suffix: another one for every call, on every machine."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{_machine()}-{secrets.token_hex(4)}.partial{path.suffix}")


def create_file(temporary: Path) -> None:
    """Create `temporary` as an empty file with the mode of any new file; raises OSError if anything is there."""
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))


@contextlib.contextmanager
def replacement(path: Path, temporary: Path) -> Iterator[Path]:
    """The new empty file `temporary` in the folder of `path`: it replaces `path` on success and is removed on an error.

    Every whole file is written by this. A link at `temporary` is removed, not followed.

    Raises:
        OSError: of the file system, and those of the block.
    """
    temporary.unlink(missing_ok=True)
    create_file(temporary)
    try:
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers (safetensors) create private files
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def open_unlinked(path: str, flags: int) -> int:
    """An `opener` for `open` that does not follow a link at `path`."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def old_path(new: Path) -> Path:
    """Where the folder that `new`, a `temporary_path`, replaces is kept between the two renames."""
    return new.with_name(new.name + _OLD)


def remove_orphans(path: Path) -> None:
    """Remove what killed processes left beside the output `path`, after finishing the replacement of a folder."""
    if os.name != "posix":  # other systems have no harmless test for whether a process is running
        return
    with contextlib.suppress(OSError):
        left = set(_left_behind(path))
        for old in (entry for entry in left if entry.name.endswith(_OLD)):
            _finish_replacement(old, path)
        for entry in left:
            if not entry.name.endswith(_OLD) and not os.path.lexists(old_path(entry)):
                _delete(entry)


def _finish_replacement(old: Path, path: Path) -> None:
    """Complete the replacement of the folder `path`, whose contents before it are `old`; nothing else is replaced."""
    new = old.with_name(old.name.removesuffix(_OLD))
    if not os.path.lexists(path):
        os.replace(new if new.exists() else old, path)
    if not new.exists():  # otherwise something else has taken the place of `path` since: both are kept
        _delete(old)


def _left_behind(path: Path) -> Iterator[Path]:
    """Temporary entries of `path` whose process has ended; versions before 0.3 wrote neither machine nor token."""
    name = rf"\.{re.escape(path.stem)}\.(\d+)(?:-([0-9a-f]{{8}})-[0-9a-f]{{8}})?\.part(?:ial)?{re.escape(path.suffix)}"
    pattern = re.compile(name + rf"(?:{re.escape(_OLD)})?")
    for entry in path.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match is None:
            continue
        if match[2] in (None, _machine()):
            if not _is_running(int(match[1])):
                yield entry
        elif time.time() - entry.lstat().st_mtime > _ABANDONED_AFTER:
            yield entry


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


@cache
def _machine() -> str:
    """Eight hexadecimal digits for this machine or container: process numbers mean nothing elsewhere."""
    try:
        processes = os.readlink("/proc/self/ns/pid")  # containers may share a host name
    except OSError:
        processes = ""
    node = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return hashlib.sha256(f"{node} {processes}".encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
