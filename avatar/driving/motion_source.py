"""Reading what drives an avatar: an expression file or a capture folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.data.capture_head import head_of
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.motion import read_motion
from avatar.motion.from_capture import motion_of
from avatar.types import Motion


@dataclass(frozen=True)
class MotionSource:
    """A motion with its origin."""

    label: str  # name of the file or folder
    motion: Motion
    head: HeadModel | None  # the head model that the motion was made for; None if it is not known
    capture: Capture | None  # None for an expression file


def load_motion_source(
    path: Path,
    head: str | None = None,
    fps: float | None = None,
    log: Callable[[str], None] | None = None,
) -> MotionSource:
    """Read the motion of an expression file or of a capture folder.

    Args:
        path: the file or folder.
        head: name or file of the head model that the motion was made for; None: the capture's own, or not known.
        fps: frames per second of a file without times, or of rows with timecodes, over which it wins.
        log: receives messages about the head model's file.

    Raises:
        HeadsplatError: the file cannot be read, or the head model is missing or is not the capture's.
    """
    if (path / METADATA_FILE).is_file():
        capture = Capture.load(path)
        model = head_of(capture, head)
        return MotionSource(path.name, motion_of(capture, model), model, capture)
    known = None if head is None else load_head(head, on_message=log)
    return MotionSource(path.name, read_motion(path, fps=fps), known, None)
