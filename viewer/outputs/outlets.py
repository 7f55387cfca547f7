"""Where what is shown goes besides the window: takes and films on the disk, a virtual camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from viewer.session.pose_sources import Pose

OutletKind = Literal["record", "virtual camera"]


@dataclass(frozen=True, eq=False)
class Moment:
    """What an outlet gets: a new picture and what it was drawn from."""

    time: float  # seconds, time.monotonic()
    avatar: Avatar
    pose: Pose
    picture: np.ndarray  # uint8 [H,W,3], only for the moment: it is overwritten by the next one


class Outlet(Protocol):
    """One place that pictures or poses go to."""

    name: str  # of the file or device

    def add(self, moment: Moment) -> None:
        """Take it; never waits. Raises HeadsplatError where nothing more can be taken."""

    def hold(self, time: float) -> None:
        """The last moment's picture is still seen at `time` seconds, time.monotonic(); never waits."""

    def close(self) -> str:
        """Finish; what was written, a sentence. Raises HeadsplatError where that failed."""


class Outlets:
    """Those that can be made and those that run."""

    def __init__(self, makers: Mapping[OutletKind, Callable[[], Outlet]] | None = None) -> None:
        """Args: makers: what opens an outlet of each kind; raises HeadsplatError where it cannot be."""
        self._makers = dict(makers or {})
        self._running: dict[OutletKind, Outlet] = {}

    @property
    def kinds(self) -> tuple[OutletKind, ...]:
        """Which can be made."""
        return tuple(self._makers)

    @property
    def names(self) -> dict[OutletKind, str]:
        """Of those that run."""
        return {kind: outlet.name for kind, outlet in self._running.items()}

    def toggle(self, kind: OutletKind) -> str:
        """Begin where it does not run, else end; what has happened, a sentence. Raises HeadsplatError."""
        if kind in self._running:
            return self._running.pop(kind).close()
        if kind not in self._makers:
            raise HeadsplatError(f"{kind}: not to be had here")
        self._running[kind] = outlet = self._makers[kind]()
        return f"{outlet.name}: begun"

    def add(self, moment: Moment) -> None:
        """Give all that run a moment; one that fails is ended, and the first failure raised as HeadsplatError."""
        failures = []
        for kind, outlet in list(self._running.items()):
            try:
                outlet.add(moment)
            except HeadsplatError as error:
                failures.append(error)
                del self._running[kind]
        if failures:
            raise failures[0]

    def hold(self, time: float) -> None:
        """Tell all that run that nothing has changed until `time` seconds, but for what `add` gave them."""
        for outlet in self._running.values():
            outlet.hold(time)

    def close(self) -> list[str]:
        """End all; what was written or failed, a sentence each."""
        told = []
        for kind in list(self._running):
            try:
                told.append(self.toggle(kind))
            except HeadsplatError as error:
                told.append(str(error))
        return told
