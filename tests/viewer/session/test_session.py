"""Playback of a motion in a session, with a clock that is set by the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from avatar.driving.driver import drive
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.files.names import ARKIT
from avatar.types import JOINT_NAMES, Motion
from tests.avatar.driving.puppet import puppet
from viewer.session.edits import Change, SelectSource
from viewer.session.pose_sources import MotionPoseSource
from viewer.session.session import Session
from viewer.session.state import SLIDERS, TIMELINE, Timeline

FRAMES, RATE = 10, 20.0


class Playback:
    """A session and its clock."""

    def __init__(self, avatar: Avatar) -> None:
        self.now = 100.0
        self.avatar, self.motion = avatar, motion(FRAMES)
        self.session = Session(avatar, "a.avatar", clock=lambda: self.now)
        self.session.apply([Change("camera", replace(self.session.state.camera, height=32, width=32))])
        self.source = MotionPoseSource(avatar, self.motion)

    def open(self, source: MotionPoseSource) -> None:
        self.session.apply([Change("timeline", Timeline()), SelectSource(SLIDERS)])
        self.session.show_motion(source, "m.csv")
        self.session.advance()

    @property
    def timeline(self) -> Timeline:
        return self.session.state.timeline

    def change(self, **parts: object) -> None:
        self.session.apply([Change("timeline", replace(self.timeline, **parts))])  # type: ignore[arg-type]

    def wait(self, seconds: float) -> Timeline:
        self.now += seconds
        self.session.advance()
        return self.timeline


def motion(frames: int) -> Motion:
    time = torch.arange(frames, dtype=torch.float64) / RATE
    weights = torch.zeros(frames, len(ARKIT_52))
    weights[:, ARKIT_52.index("jawOpen")] = torch.linspace(0, 0.4, frames)
    return Motion(time, ARKIT_52, weights, ARKIT, torch.zeros(frames, len(JOINT_NAMES), 3), torch.zeros(frames, 3))


@pytest.fixture(scope="module")
def shared() -> Iterator[Playback]:
    playback = Playback(puppet(load_head()))
    yield playback
    playback.session.close()


@pytest.fixture
def playback(shared: Playback) -> Playback:
    """The session with its motion opened again."""
    shared.open(shared.source)
    return shared


def test_a_motion_that_is_opened_becomes_active_at_its_first_frame(playback: Playback) -> None:
    assert (playback.session.state.source, playback.timeline.playing, playback.timeline.frame) == (TIMELINE, True, 0)


def test_playing_follows_the_clock(playback: Playback) -> None:
    assert [playback.wait(1 / RATE).frame for _ in range(3)] == [1, 2, 3]


def test_speed_applies_from_the_time_it_is_set(playback: Playback) -> None:
    playback.wait(0.1)
    playback.change(speed=0.5)
    assert playback.wait(0.2).time == pytest.approx(0.2)
    playback.change(speed=2.0)
    assert playback.wait(0.05).time == pytest.approx(0.3)


def test_a_loop_continues_at_the_start_without_losing_time(playback: Playback) -> None:
    assert playback.wait(FRAMES / RATE + 0.06).time == pytest.approx(0.06)
    assert playback.timeline.playing


def test_a_gap_of_many_loops_is_handled(playback: Playback) -> None:
    assert playback.wait(7 * FRAMES / RATE + 0.11).frame == 2


def test_without_a_loop_it_ends_on_its_last_frame(playback: Playback) -> None:
    playback.change(loop=False)
    assert playback.wait(FRAMES / RATE - 0.01).playing
    ended = playback.wait(5.0)
    assert (ended.frame, ended.playing, ended.time) == (FRAMES - 1, False, ended.duration)


@pytest.mark.parametrize("loop", [False, True])
def test_playing_from_the_end_restarts(playback: Playback, loop: bool) -> None:
    playback.change(loop=False)
    playback.wait(5.0)
    playback.change(playing=True, loop=loop)
    assert playback.wait(1 / RATE).frame == 1


def test_scrubbing_pauses_and_releasing_continues(playback: Playback) -> None:
    playback.session.apply([Change("timeline", replace(playback.timeline.at_frame(6), scrubbing=True))])
    assert playback.wait(3.0).frame == 6
    playback.change(scrubbing=False)
    assert playback.wait(1 / RATE).frame == 7


def test_while_another_source_is_active_its_time_does_not_advance(playback: Playback) -> None:
    playback.wait(0.1)
    playback.session.apply([SelectSource(SLIDERS)])
    assert playback.wait(0.2).time == pytest.approx(0.1)


def test_a_single_frame_is_played(shared: Playback) -> None:
    shared.open(MotionPoseSource(shared.avatar, motion(1)))
    assert shared.wait(0.5).frame == 0
    shared.change(loop=False)
    assert not shared.wait(0.5).playing


def test_the_pose_is_that_of_the_timelines_frame(playback: Playback) -> None:
    """After the blend from the source before."""
    playback.change(playing=False)
    playback.wait(1.0)
    driven = drive(playback.avatar, playback.motion)
    playback.session.apply([Change("timeline", playback.timeline.at_frame(4))])
    playback.wait(0.1)
    shown = playback.session.sources.last_params
    assert shown is not None
    assert torch.equal(shown.expression, driven.params[4].expression)


def test_a_pose_is_blended_from_the_source_before(playback: Playback) -> None:
    playback.change(playing=False)
    playback.wait(1.0)
    playback.session.apply([Change("timeline", playback.timeline.at_frame(9))])
    playback.wait(0.1)
    playback.session.apply([SelectSource(SLIDERS)])
    column = playback.avatar.head.expression_index("jawOpen")
    found = []
    for _ in range(4):
        playback.wait(0.1)
        assert playback.session.sources.last_params is not None
        found.append(float(playback.session.sources.last_params.expression[0, column]))
    assert found[0] > found[1] > found[2] == found[3] == pytest.approx(0.1)
