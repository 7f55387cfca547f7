"""What a recording shows of itself, in the window and in the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Command = Literal["skip", "repeat", "pause", "quit"]
Status = Literal["open", "asked", "done", "given up"]
#: filming: the camera is in use; working: what follows goes on without the user; ready: all is done.
Phase = Literal["filming", "working", "ready"]


@dataclass(frozen=True, eq=False)
class FilmView:
    """What is shown."""

    image: np.ndarray | None = None  # [H,W,3] uint8 sRGB of the camera; the window mirrors it
    number: int = 0  # of the image: it is uploaded once
    avatar: np.ndarray | None = None  # [H,W,3] uint8 sRGB, beside the image and mirrored, too
    avatar_number: int = 0
    recording: bool = False
    words: str = ""  # what to do now, or what is done
    warning: str = ""
    items: tuple[tuple[str, float, Status], ...] = ()  # title, share 0..1, status
    ring: tuple[float, ...] = ()  # 0..1, sectors counterclockwise from the person's left
    pointing: tuple[float, float] | None = None  # where the head points: to the person's left and up; 1: the ring
    share: float = 0.0  # 0..1
    note: str = ""  # a line beside the progress
    keys: str = ""  # what keys do: "KEY: EFFECT", with four spaces between two
    phase: Phase = "filming"
    over: bool = False  # the window closes; `words` and `warning` say why
