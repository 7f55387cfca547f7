"""Processes that `torchrun` has started to train one avatar. Importing this module does not import torch."""

from __future__ import annotations

import os


def started_processes() -> int:
    """Number of processes that `torchrun` has started, this one with them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def own_rank() -> int:
    """Number of this process among them, from 0."""
    return int(os.environ["RANK"]) if started_processes() > 1 else 0


def local_device(name: str) -> str:
    """The device of this process for `--device`: with `cuda`, each process of a machine has a GPU of its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" and started_processes() > 1 else name
