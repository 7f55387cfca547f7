"""Outlets: opened and closed by toggle, and one that fails does not affect the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from viewer.outputs.outlets import Outlets, RenderedFrame
from viewer.session.session import Session

IMAGE = np.zeros((2, 2, 3), np.uint8)


class ListOutlet:
    """An outlet that stores its frames, or fails after some of them."""

    def __init__(self, name: str, fails_at: int = -1) -> None:
        self.name, self.closed, self._fails_at = name, False, fails_at
        self.frames: list[RenderedFrame] = []
        self.hold_times: list[float] = []

    def write(self, frame: RenderedFrame) -> None:
        if len(self.frames) == self._fails_at:
            raise HeadsplatError(f"{self.name}: full")
        self.frames.append(frame)

    def hold(self, time: float, pose: Any) -> None:
        self.hold_times.append(time)

    def close(self) -> str:
        self.closed = True
        return f"{self.name}: written"


def rendered(time: float) -> RenderedFrame:
    unused: Any = None
    return RenderedFrame(time, unused, unused, IMAGE)


def test_toggle_opens_and_closes() -> None:
    take = ListOutlet("take")
    outlets = Outlets({"record": lambda: take})
    outlets.write(rendered(0))
    assert outlets.toggle("record") == "take: started" and outlets.names == {"record": "take"}
    outlets.write(rendered(1))
    outlets.hold(1.5, None)
    assert outlets.toggle("record") == "take: written" and outlets.names == {}
    outlets.write(rendered(2))
    outlets.hold(2.5, None)
    assert [frame.time for frame in take.frames] == [1] and take.hold_times == [1.5] and take.closed


def test_the_session_holds_the_last_frame_while_nothing_changes(tiny_avatar: Avatar) -> None:
    take, times = ListOutlet("take"), iter(range(1000))
    session = Session(tiny_avatar, "me", outlets=Outlets({"record": lambda: take}), clock=lambda: next(times))
    session.outlets.toggle("record")
    for _ in range(3):
        session.advance()
    session.close()
    assert len(take.frames) == 1 and len(take.hold_times) == 3 and take.hold_times == sorted(take.hold_times)


def test_an_outlet_that_fails_is_removed_and_the_others_continue() -> None:
    take, camera = ListOutlet("take"), ListOutlet("camera", fails_at=1)
    outlets = Outlets({"record": lambda: take, "virtual camera": lambda: camera})
    outlets.toggle("virtual camera")
    outlets.toggle("record")
    outlets.write(rendered(0))
    with pytest.raises(HeadsplatError, match="camera: full"):
        outlets.write(rendered(1))
    outlets.write(rendered(2))
    assert [frame.time for frame in take.frames] == [0, 1, 2] and list(outlets.names) == ["record"]


def test_an_outlet_that_cannot_be_opened_is_an_error() -> None:
    def none() -> ListOutlet:
        raise HeadsplatError("no device")

    outlets = Outlets({"virtual camera": none})
    with pytest.raises(HeadsplatError, match="no device"):
        outlets.toggle("virtual camera")
    with pytest.raises(HeadsplatError, match="record: not available here"):
        outlets.toggle("record")
    assert outlets.names == {}


def test_close_closes_all_and_returns_a_message_on_each() -> None:
    outlets = Outlets({"record": lambda: ListOutlet("take"), "virtual camera": lambda: ListOutlet("camera")})
    outlets.toggle("record")
    outlets.toggle("virtual camera")
    assert outlets.close() == ["take: written", "camera: written"]
