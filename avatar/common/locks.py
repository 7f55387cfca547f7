"""Locks on outputs, so that two commands never write the same one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from avatar.errors import HeadsplatError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the output `path` for the block, by a file `.NAME.lock` beside it that the system releases with the process.

    Where the file system has no locks, or refuses the file, there is no lock.

    Raises:
        HeadsplatError: another process or thread has locked it.
    """
    lock = path.with_name(f".{path.name}.lock")
    handle = _acquire(lock, path)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                lock.unlink()  # before it is released: who opened it meanwhile finds that it was removed
            os.close(handle)


def _acquire(lock: Path, path: Path) -> int | None:
    """The locked and open file `lock`; None where locking is not possible."""
    if fcntl is None:
        return None
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise HeadsplatError(
                f"{path}: another headsplat command is writing it; wait until it ends or choose another name with -o"
            ) from error
        except OSError:
            os.close(handle)
            return None
        if _is_open_file(handle, lock):
            return handle
        os.close(handle)  # its owner removed it after it was opened here


def _is_open_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False
