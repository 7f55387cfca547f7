"""Cores of this machine, each taken by one process at a time, so that jobs do not crowd on the same ones."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from avatar.errors import HeadsplatError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


def take_cores(count: int) -> frozenset[int]:
    """Limit this process to `count` cores that no other process has taken; returns them.

    Held until the process ends, by locks that the system releases with it. If fewer are free, all cores stay allowed:
    the number of threads is limited anyway.
    """
    folder = shared_folder()
    taken: dict[int, int] = {}
    for core in sorted(os.sched_getaffinity(0)):
        if len(taken) < count and (handle := _lock(folder / f"core{core}.lock")) is not None:
            taken[core] = handle
    if len(taken) < count:
        for handle in taken.values():
            os.close(handle)
        return frozenset()
    with suppress(OSError):  # a container may forbid it
        os.sched_setaffinity(0, taken)
    for handle in taken.values():
        os.set_inheritable(handle, False)
    return frozenset(taken)


def shared_folder() -> Path:
    """The folder of this user's fleets on this machine, for locks and for the work of jobs; created if missing.

    Raises:
        HeadsplatError: another user has created it.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"headsplat-fleet-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and (folder.is_symlink() or folder.stat().st_uid != user):
        raise HeadsplatError(f"{folder}: belongs to another user; delete it, or set TMPDIR to a folder of your own")
    return folder


def _lock(path: Path) -> int | None:
    """An open file that is locked until it is closed; None if another process has it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
