"""Live sources of a session: started on the worker thread, active once started, errors reported."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from avatar.driving.live.samples import AvatarPose, CameraPreview, LiveStats
from avatar.errors import HeadsplatError
from avatar.export.posed import posed
from avatar.head import load_head
from avatar.model.avatar import Avatar
from tests.avatar.driving.puppet import puppet
from viewer.session.edits import Change, Do, SelectSource, SetGain
from viewer.session.pose_sources import LiveSourceChoice, MotionPoseSource
from viewer.session.session import Session
from viewer.session.state import SLIDERS, TIMELINE

TIMEOUT = 30.0


class OpenMouth:
    """A live pipeline with an open mouth."""

    fails = False
    made: list[OpenMouth] = []  # noqa: RUF012  # tests use the newest

    def __init__(self, avatar: Avatar) -> None:
        self.avatar, self.gains = avatar, {"mouth": 1.0}
        self.calls: list[str] = []
        OpenMouth.made.append(self)

    def start(self) -> None:
        if OpenMouth.fails:
            raise HeadsplatError("camera 7: there is none; give another number")
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def latest(self) -> AvatarPose:
        now = time.monotonic()
        params = posed(self.avatar, {"jawOpen": 0.3})
        return AvatarPose(params, "driving", True, None, {"camera": now - 0.01, "parameters": now})

    def calibrate(self) -> None:
        self.calls.append("calibrate")

    def learn_again(self) -> None:
        self.calls.append("learn")

    def preview(self) -> CameraPreview:
        return CameraPreview(np.full((8, 12, 3), 7, np.uint8), None)

    def stats(self) -> LiveStats:
        return {"input": {"ended": None}}


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return puppet(load_head())


@pytest.fixture
def session(avatar: Avatar) -> Iterator[Session]:
    OpenMouth.fails = False
    OpenMouth.made.clear()
    session = Session(avatar, "a.avatar", [LiveSourceChoice("camera", "camera 7", OpenMouth)])
    session.state = replace(session.state, camera=replace(session.state.camera, height=32, width=32))
    yield session
    session.close()


def until(session: Session, reached: Any) -> None:
    ends = time.monotonic() + TIMEOUT
    while not reached():
        assert time.monotonic() < ends, "timeout"
        session.advance()


def choose(session: Session, key: str = "camera") -> OpenMouth:
    session.apply([SelectSource(key)])
    until(session, lambda: session.state.source == key)
    return OpenMouth.made[-1]


def test_a_source_is_active_after_it_has_started(session: Session) -> None:
    pipeline = choose(session)
    session.advance()
    assert pipeline.calls == ["start"] and session.state.source == "camera"
    assert session.preview.image is not None and session.preview.image.shape == (160, 240, 3)


def test_a_source_that_cannot_start_is_reported_and_the_one_before_stays_active(session: Session) -> None:
    OpenMouth.fails = True
    session.apply([SelectSource("camera")])
    until(session, lambda: session.state.status.failed)
    assert session.state.source == SLIDERS and session.state.status.message.startswith("camera 7: there is none")


def test_a_source_is_stopped_when_another_becomes_active(session: Session) -> None:
    pipeline = choose(session)
    session.apply([SelectSource(SLIDERS)])
    assert session.state.source == SLIDERS and pipeline.calls == ["start", "stop"]


def test_a_restarted_source_keeps_its_gains(session: Session) -> None:
    first = choose(session)
    session.apply([SetGain("mouth", 1.5), Do("restart source")])
    until(session, lambda: OpenMouth.made[-1] is not first and session.sources.live.pipeline is OpenMouth.made[-1])
    assert first.calls[:2] == ["start", "stop"] and OpenMouth.made[-1].gains == {"mouth": 1.5}


def test_actions_reach_the_source(session: Session) -> None:
    pipeline = choose(session)
    session.apply([Do("calibrate"), Do("learn person")])
    assert pipeline.calls == ["start", "calibrate", "learn"]


def test_without_a_live_source_calibration_is_an_error(session: Session) -> None:
    session.apply([Do("calibrate")])
    assert session.state.status.message == "no live source is active; select a camera or a socket first"


def test_another_avatar_keeps_the_live_source(session: Session, avatar: Avatar) -> None:
    first = choose(session)
    session.show_avatar(avatar, "b.avatar")
    until(session, lambda: session.state.source == "camera")
    assert first.calls == ["start", "stop"] and session.state.avatar.name == "b.avatar"


def test_an_avatar_to_which_the_motion_cannot_be_retargeted_is_rejected(
    session: Session, avatar: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.viewer.session.test_session import motion

    session.show_motion(MotionPoseSource(avatar, motion(4)), "m.csv")

    def cannot(self: MotionPoseSource, avatar: Avatar) -> MotionPoseSource:
        raise HeadsplatError("none of its expressions is known")

    monkeypatch.setattr(MotionPoseSource, "for_avatar", cannot)
    with pytest.raises(HeadsplatError, match="none of its expressions"):
        session.show_avatar(avatar, "b.avatar")
    session.advance()
    assert (session.state.source, session.state.avatar.name) == (TIMELINE, "a.avatar")


def test_tensors_of_a_frame_are_not_stored_in_the_avatar(session: Session, avatar: Avatar) -> None:
    choose(session)
    session.apply([Change("view", replace(session.state.view, mesh_overlay=0.5))])
    session.advance()
    stored = [*avatar.parameters(), *avatar.buffers(), *(value for value in vars(avatar.head).values())]
    assert not any(getattr(value, "is_inference", bool)() for value in stored)
