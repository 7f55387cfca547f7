"""Files that are opened in the window: avatars, motions, saved views."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from avatar.common.files import path_text
from avatar.driving.motion_source import load_motion_source
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from viewer.render.orbit import Orbit
from viewer.session.pose_sources import MotionPoseSource
from viewer.session.view_file import read_view


@dataclass(frozen=True, eq=False)
class OpenedAvatar:
    """An avatar that was read."""

    avatar: Avatar
    name: str  # of its file
    path: Path | None = None


@dataclass(frozen=True)
class OpenedView:
    """A saved view that was read."""

    name: str
    orbit: Orbit


@dataclass(frozen=True, eq=False)
class OpenedMotion:
    """A motion that was read and retargeted."""

    source: MotionPoseSource
    name: str  # of its file


Opened = OpenedAvatar | OpenedView | OpenedMotion


def open_any(path: Path, avatar: Avatar) -> Opened:
    """Read an avatar, a motion for `avatar`, or a saved view; raises HeadsplatError."""
    if path.suffix == ".avatar":
        return OpenedAvatar(load_avatar(path), path_text(path.name), path)
    if (orbit := read_view(path)) is not None:
        return OpenedView(path.stem, orbit)
    return OpenedMotion(MotionPoseSource(avatar, load_motion_source(path).motion), path_text(path.name))


class FileOpener:
    """Opens one file at a time on a worker thread, so that the window continues."""

    def __init__(self, worker: ThreadPoolExecutor) -> None:
        self._worker = worker
        self._opening: Future[Opened] | None = None

    def start(self, path: Path, avatar: Avatar) -> None:
        """Start to open a file; raises HeadsplatError while another one is being opened."""
        if self._opening is not None:
            raise HeadsplatError(f"{path}: another file is being opened; try again when it is done")
        self._opening = self._worker.submit(open_any, path, avatar)

    def take_opened(self) -> Opened | None:
        """What was opened, once; None while nothing is. Raises HeadsplatError where the file cannot be opened."""
        if self._opening is None or not self._opening.done():
            return None
        done = self._opening
        self._opening = None
        return done.result()
