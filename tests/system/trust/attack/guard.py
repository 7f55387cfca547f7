"""Namespaces of the worker: nothing outside the folder of the attack can be written, small file systems are mounted."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NEW_MOUNTS = 0x00020000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
#: File systems that stay writable: processes, devices, shared memory of multiprocessing.
_KEPT = ("/proc", "/sys", "/dev/shm", "/dev/pts", "/dev/mqueue")
_guarded = False


def guard(folder: Path) -> bool:
    """Make every file system read-only for this process, except `folder`; returns whether the system permits it."""
    global _guarded
    if _guarded:
        return True
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _check(libc.unshare(_NEW_MOUNTS))
        _mount(libc, "none", "/", "", _RECURSIVE | _PRIVATE)
        _mount(libc, str(folder), str(folder), "", _BIND)
        points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for point in points:
            if point != str(folder) and not point.startswith(_KEPT):
                _mount(libc, "none", point, "", _READ_ONLY | _REMOUNT | _BIND)
    except (OSError, AttributeError):
        return False
    _guarded = True
    return True


def may_mount() -> bool:
    """Whether `guard` has made a namespace in which this process may mount."""
    return _guarded


def protected() -> bool:
    """Whether a command may be given / as its output: it cannot be written, or not by this user."""
    return _guarded or os.geteuid() != 0


def mount_small(folder: Path, size: int) -> None:
    """Mount an empty file system of `size` bytes at `folder`."""
    _mount(ctypes.CDLL(None, use_errno=True), "tmpfs", str(folder), "tmpfs", 0, f"size={size}")


def mount_read_only(folder: Path) -> None:
    """Make `folder` read-only for this process and those it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    _mount(libc, str(folder), str(folder), "", _BIND)
    _mount(libc, "none", str(folder), "", _READ_ONLY | _REMOUNT | _BIND)


def unmount(folder: Path) -> None:
    """Undo a mount at `folder`."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.umount2(str(folder).encode(), 2))


def _mount(libc: ctypes.CDLL, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode() or None))


def _check(code: int) -> None:
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
