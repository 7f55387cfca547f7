"""What headsplat does for its users, as calls: capture, train, render, live, view, evaluate.

Each takes the files to read and to write, its options, and `notify`, which receives progress and messages. The command
line holds the options and prints; a program of your own calls the same functions. Of the packages of `avatar` only this
one imports `capture` and `viewer`. The names load on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from avatar.jobs.capturing import capture
    from avatar.jobs.evaluating import evaluate
    from avatar.jobs.live_window import live, view
    from avatar.jobs.rendering import render
    from avatar.jobs.training import train

_HOMES = {
    "capture": "avatar.jobs.capturing",
    "evaluate": "avatar.jobs.evaluating",
    "live": "avatar.jobs.live_window",
    "render": "avatar.jobs.rendering",
    "train": "avatar.jobs.training",
    "view": "avatar.jobs.live_window",
}

__all__ = ["capture", "evaluate", "live", "render", "train", "view"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'avatar.jobs' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
