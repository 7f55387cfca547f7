"""Processes that `torchrun` has started to train one avatar, and cores and memory of this one; without torch."""

from __future__ import annotations

import os
from pathlib import Path


def started_processes() -> int:
    """Number of processes that `torchrun` has started, this one with them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def own_rank() -> int:
    """Number of this process among them, from 0."""
    return int(os.environ["RANK"]) if started_processes() > 1 else 0


def local_device(name: str) -> str:
    """The device of this process for `--device`: with `cuda`, each process of a machine has a GPU of its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" and started_processes() > 1 else name


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_STATM = Path("/proc/self/statm")


def memory_mb() -> float | None:
    """Resident memory of this process in MB; None on systems without /proc."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
