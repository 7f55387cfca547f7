"""Who drives a session live: begun beside the window, handed over once it runs, told where it cannot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.export.posed import posed
from avatar.head import load_head
from avatar.model.avatar import Avatar
from tests.avatar.driving.puppet import puppet
from viewer.session.edits import Change, Do
from viewer.session.pose_sources import Player, Pose
from viewer.session.session import LiveChoice, Session
from viewer.session.state import SLIDERS, TIMELINE

PATIENCE = 30.0


class Talker:
    """A live source that opens its mouth."""

    fails = False
    made: list[Talker] = []  # noqa: RUF012  # each test looks at the newest

    def __init__(self, avatar: Avatar) -> None:
        self.avatar, self.calls, self.gains = avatar, [], {"mouth": 1.0}
        self.calls: list[str] = []
        Talker.made.append(self)

    def start(self) -> None:
        if Talker.fails:
            raise HeadsplatError("camera 7: there is none; give another number")
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def latest(self) -> Any:
        now = time.monotonic()
        params = posed(self.avatar, {"jawOpen": 0.3})
        return Pose(params, "driving", True, None, {"camera": now - 0.01, "parameters": now})

    def calibrate(self) -> None:
        self.calls.append("calibrate")

    def learn_again(self) -> None:
        self.calls.append("learn")

    def look(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        return np.full((8, 12, 3), 7, np.uint8), None

    def stats(self) -> dict[str, Any]:
        return {"input": {"ended": None}}


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return puppet(load_head())


@pytest.fixture
def session(avatar: Avatar) -> Iterator[Session]:
    Talker.fails = False
    Talker.made.clear()
    session = Session(avatar, "a.avatar", [LiveChoice("camera", "camera 7", Talker)])
    session.state = replace(session.state, view=replace(session.state.view, height=32, width=32))
    yield session
    session.close()


def until(session: Session, reached: Any) -> None:
    ends = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < ends, "it never came"
        session.advance()


def choose(session: Session, key: str = "camera") -> Talker:
    session.apply([Change("driving", key)])
    until(session, lambda: session.state.driving == key)
    return Talker.made[-1]


def test_a_source_drives_once_it_has_begun(session: Session) -> None:
    talker = choose(session)
    session.advance()
    assert talker.calls == ["start"] and session.state.driving == "camera"
    assert session.preview is not None and session.preview.shape == (160, 240, 3)


def test_one_that_cannot_begin_is_told_and_the_one_before_goes_on(session: Session) -> None:
    Talker.fails = True
    session.apply([Change("driving", "camera")])
    until(session, lambda: session.state.status.failed)
    assert session.state.driving == SLIDERS and session.state.status.message.startswith("camera 7: there is none")


def test_a_source_is_stopped_when_another_drives(session: Session) -> None:
    talker = choose(session)
    session.apply([Change("driving", SLIDERS)])
    assert session.state.driving == SLIDERS and talker.calls == ["start", "stop"]


def test_a_source_that_has_ended_begins_anew_with_its_gains(session: Session) -> None:
    first = choose(session)
    session.apply([Do("gain", ("mouth", 1.5)), Do("again")])
    until(session, lambda: Talker.made[-1] is not first and session.performer.source is Talker.made[-1])  # type: ignore[attr-defined]
    assert first.calls[:2] == ["start", "stop"] and Talker.made[-1].gains == {"mouth": 1.5}


def test_actions_reach_the_source(session: Session) -> None:
    talker = choose(session)
    session.apply([Do("calibrate"), Do("learn")])
    assert talker.calls == ["start", "calibrate", "learn"]


def test_without_a_live_driver_there_is_nothing_to_calibrate(session: Session) -> None:
    session.apply([Do("calibrate")])
    assert session.state.status.message == "nobody drives live; choose a camera or a socket first"


def test_another_avatar_is_driven_by_the_same_source(session: Session, avatar: Avatar) -> None:
    first = choose(session)
    session.replace_avatar(avatar, "b.avatar")
    until(session, lambda: session.state.driving == "camera")
    assert first.calls == ["start", "stop"] and session.state.subject.name == "b.avatar"


def test_an_avatar_for_which_the_motion_cannot_be_retold_is_refused_whole(
    session: Session, avatar: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.viewer.session.test_session import motion

    session.show_motion(Player(avatar, motion(4)), "m.csv")

    def cannot(self: Player, avatar: Avatar) -> Player:
        raise HeadsplatError("none of its expressions is known")

    monkeypatch.setattr(Player, "retold", cannot)
    with pytest.raises(HeadsplatError, match="none of its expressions"):
        session.replace_avatar(avatar, "b.avatar")
    session.advance()
    assert (session.state.driving, session.state.subject.name) == (TIMELINE, "a.avatar")


def test_what_a_frame_makes_is_not_kept_in_the_avatar(session: Session, avatar: Avatar) -> None:
    choose(session)
    session.apply([Change("look", replace(session.state.look, mesh_overlay=0.5))])
    session.advance()
    held = [*avatar.parameters(), *avatar.buffers(), *(value for value in vars(avatar.head).values())]
    assert not any(getattr(value, "is_inference", bool)() for value in held)
