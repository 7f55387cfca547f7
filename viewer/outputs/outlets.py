"""Outlets: where rendered frames go besides the window, to files or to a virtual camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from avatar.driving.live.samples import AvatarPose
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar

OutletKind = Literal["record", "virtual camera"]


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """A new image and what it was rendered from."""

    time: float  # seconds, time.monotonic()
    avatar: Avatar
    pose: AvatarPose
    image: np.ndarray  # uint8 [H,W,3]; overwritten by the next frame, so an outlet has to copy it


class Outlet(Protocol):
    """Writes rendered frames to one destination."""

    name: str  # of the file or device

    def write(self, frame: RenderedFrame) -> None:
        """Write a frame; never waits. Raises HeadsplatError where nothing can be written any more."""

    def hold(self, time: float, pose: AvatarPose) -> None:
        """Extend the last frame's display to `time` seconds, time.monotonic(), where it shows `pose`; never waits."""

    def close(self) -> str:
        """Finish; returns a sentence on what was written. Raises HeadsplatError on failure."""


class Outlets:
    """The outlets that can be opened and those that are open."""

    def __init__(self, factories: Mapping[OutletKind, Callable[[], Outlet]] | None = None) -> None:
        """Args: factories: open an outlet of each kind; raise HeadsplatError on failure."""
        self._factories = dict(factories or {})
        self._open: dict[OutletKind, Outlet] = {}

    @property
    def kinds(self) -> tuple[OutletKind, ...]:
        """Kinds that can be opened."""
        return tuple(self._factories)

    @property
    def names(self) -> dict[OutletKind, str]:
        """Names of open outlets."""
        return {kind: outlet.name for kind, outlet in self._open.items()}

    def toggle(self, kind: OutletKind) -> str:
        """Open an outlet, or close it if it is open; returns a message. Raises HeadsplatError."""
        if kind in self._open:
            return self._open.pop(kind).close()
        if kind not in self._factories:
            raise HeadsplatError(f"{kind}: not available here")
        self._open[kind] = outlet = self._factories[kind]()
        return f"{outlet.name}: started"

    def write(self, frame: RenderedFrame) -> None:
        """Write a frame to all open outlets; one that fails is removed, and the first error raised."""
        failures = []
        for kind, outlet in list(self._open.items()):
            try:
                outlet.write(frame)
            except HeadsplatError as error:
                failures.append(error)
                del self._open[kind]
        if failures:
            raise failures[0]

    def hold(self, time: float, pose: AvatarPose) -> None:
        """Extend the last frame's display to `time` seconds in all open outlets; it shows `pose` there."""
        for outlet in self._open.values():
            outlet.hold(time, pose)

    def close(self) -> list[str]:
        """Close all; returns a message on each, of success or failure."""
        messages = []
        for kind in list(self._open):
            try:
                messages.append(self.toggle(kind))
            except HeadsplatError as error:
                messages.append(str(error))
        return messages
