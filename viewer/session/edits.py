"""What panels give back: they change nothing themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Action = Literal[
    "again",  # start the live source anew that drives
    "calibrate",  # take the next moments as the driver's neutral face
    "choose file",  # ask the system for one to open
    "close",
    "forget view",  # argument: its place among the saved ones
    "gain",  # argument: (group, factor) of the live driver
    "learn",  # another person sat down
    "open",  # argument: path of an avatar, a motion or a saved view
    "record",  # begin or end a take and its film
    "save view",
    "screenshot",  # the picture to a file
    "virtual camera",  # begin or end
]


@dataclass(frozen=True)
class Change:
    """A part of the state replaced."""

    part: str  # field of State
    value: Any


@dataclass(frozen=True)
class Do:
    """Something to be done once."""

    action: Action
    argument: Any = None


Edit = Change | Do
