"""Outlets: begun and ended by one switch, and one that fails does not take the others with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from viewer.outputs.outlets import Moment, Outlets
from viewer.session.session import Session

PICTURE = np.zeros((2, 2, 3), np.uint8)


class Kept:
    """An outlet that keeps what it gets, or fails from some moment on."""

    def __init__(self, name: str, fails_at: int = -1) -> None:
        self.name, self.moments, self.closed, self._fails_at = name, [], False, fails_at
        self.moments: list[Moment] = []
        self.held: list[float] = []

    def add(self, moment: Moment) -> None:
        if len(self.moments) == self._fails_at:
            raise HeadsplatError(f"{self.name}: full")
        self.moments.append(moment)

    def hold(self, time: float) -> None:
        self.held.append(time)

    def close(self) -> str:
        self.closed = True
        return f"{self.name}: written"


def moment(time: float) -> Moment:
    unused: Any = None
    return Moment(time, unused, unused, PICTURE)


def test_a_switch_begins_and_ends() -> None:
    take = Kept("take")
    outlets = Outlets({"record": lambda: take})
    outlets.add(moment(0))
    assert outlets.toggle("record") == "take: begun" and outlets.names == {"record": "take"}
    outlets.add(moment(1))
    outlets.hold(1.5)
    assert outlets.toggle("record") == "take: written" and outlets.names == {}
    outlets.add(moment(2))
    outlets.hold(2.5)
    assert [each.time for each in take.moments] == [1] and take.held == [1.5] and take.closed


def test_the_session_says_that_time_passes_while_nothing_changes(tiny_avatar: Avatar) -> None:
    take, times = Kept("take"), iter(range(1000))
    session = Session(tiny_avatar, "me", outlets=Outlets({"record": lambda: take}), clock=lambda: next(times))
    session.outlets.toggle("record")
    for _ in range(3):
        session.advance()
    session.close()
    assert len(take.moments) == 1 and len(take.held) == 3 and take.held == sorted(take.held)


def test_one_that_fails_ends_and_the_others_go_on() -> None:
    take, camera = Kept("take"), Kept("camera", fails_at=1)
    outlets = Outlets({"record": lambda: take, "virtual camera": lambda: camera})
    outlets.toggle("virtual camera")
    outlets.toggle("record")
    outlets.add(moment(0))
    with pytest.raises(HeadsplatError, match="camera: full"):
        outlets.add(moment(1))
    outlets.add(moment(2))
    assert [each.time for each in take.moments] == [0, 1, 2] and list(outlets.names) == ["record"]


def test_what_cannot_be_made_is_said() -> None:
    def none() -> Kept:
        raise HeadsplatError("no device")

    outlets = Outlets({"virtual camera": none})
    with pytest.raises(HeadsplatError, match="no device"):
        outlets.toggle("virtual camera")
    with pytest.raises(HeadsplatError, match="record: not to be had here"):
        outlets.toggle("record")
    assert outlets.names == {}


def test_closing_ends_all_and_tells_of_each() -> None:
    outlets = Outlets({"record": lambda: Kept("take"), "virtual camera": lambda: Kept("camera")})
    outlets.toggle("record")
    outlets.toggle("virtual camera")
    assert outlets.close() == ["take: written", "camera: written"]
