"""How a session plays a motion, by a clock that is set by hand."""

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
from viewer.session.edits import Change
from viewer.session.pose_sources import Player
from viewer.session.session import Session
from viewer.session.state import SLIDERS, TIMELINE, Timeline

FRAMES, RATE = 10, 20.0


class Stage:
    """A session, and a clock for it."""

    def __init__(self, avatar: Avatar) -> None:
        self.now = 100.0
        self.avatar, self.motion = avatar, motion(FRAMES)
        self.session = Session(avatar, "a.avatar", clock=lambda: self.now)
        self.session.apply([Change("view", replace(self.session.state.view, height=32, width=32))])
        self.player = Player(avatar, self.motion)

    def open(self, player: Player) -> None:
        self.session.apply([Change("timeline", Timeline()), Change("driving", SLIDERS)])
        self.session.show_motion(player, "m.csv")
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
def theatre() -> Iterator[Stage]:
    stage = Stage(puppet(load_head()))
    yield stage
    stage.session.close()


@pytest.fixture
def stage(theatre: Stage) -> Stage:
    """Its motion is opened anew."""
    theatre.open(theatre.player)
    return theatre


def test_a_motion_that_is_opened_drives_from_its_first_frame(stage: Stage) -> None:
    assert (stage.session.state.driving, stage.timeline.playing, stage.timeline.frame) == (TIMELINE, True, 0)


def test_playing_follows_the_clock(stage: Stage) -> None:
    assert [stage.wait(1 / RATE).frame for _ in range(3)] == [1, 2, 3]


def test_speed_counts_from_when_it_is_set(stage: Stage) -> None:
    stage.wait(0.1)
    stage.change(speed=0.5)
    assert stage.wait(0.2).time == pytest.approx(0.2)
    stage.change(speed=2.0)
    assert stage.wait(0.05).time == pytest.approx(0.3)


def test_a_loop_goes_on_where_it_began_and_loses_no_time(stage: Stage) -> None:
    assert stage.wait(FRAMES / RATE + 0.06).time == pytest.approx(0.06)
    assert stage.timeline.playing


def test_a_gap_of_many_loops_is_taken(stage: Stage) -> None:
    assert stage.wait(7 * FRAMES / RATE + 0.11).frame == 2


def test_without_a_loop_it_ends_on_its_last_frame(stage: Stage) -> None:
    stage.change(loop=False)
    assert stage.wait(FRAMES / RATE - 0.01).playing
    ended = stage.wait(5.0)
    assert (ended.frame, ended.playing, ended.time) == (FRAMES - 1, False, ended.duration)


@pytest.mark.parametrize("loop", [False, True])
def test_played_on_from_its_end_it_starts_over(stage: Stage, loop: bool) -> None:
    stage.change(loop=False)
    stage.wait(5.0)
    stage.change(playing=True, loop=loop)
    assert stage.wait(1 / RATE).frame == 1


def test_scrubbing_holds_it_and_letting_go_plays_on(stage: Stage) -> None:
    stage.session.apply([Change("timeline", replace(stage.timeline.at(6), held=True))])
    assert stage.wait(3.0).frame == 6
    stage.change(held=False)
    assert stage.wait(1 / RATE).frame == 7


def test_while_another_drives_its_time_stands_still(stage: Stage) -> None:
    stage.wait(0.1)
    stage.session.apply([Change("driving", SLIDERS)])
    assert stage.wait(0.2).time == pytest.approx(0.1)


def test_a_single_frame_is_played(theatre: Stage) -> None:
    theatre.open(Player(theatre.avatar, motion(1)))
    assert theatre.wait(0.5).frame == 0
    theatre.change(loop=False)
    assert not theatre.wait(0.5).playing


def test_what_is_shown_is_the_frame_of_the_timeline(stage: Stage) -> None:
    """After the easing from the performer before."""
    stage.change(playing=False)
    stage.wait(1.0)
    told = drive(stage.avatar, stage.motion)
    stage.session.apply([Change("timeline", stage.timeline.at(4))])
    stage.wait(0.1)
    shown = stage.session._shown
    assert shown is not None
    assert torch.equal(shown.expression, told.params[4].expression)


def test_a_pose_is_eased_from_the_performer_before(stage: Stage) -> None:
    stage.change(playing=False)
    stage.wait(1.0)
    stage.session.apply([Change("timeline", stage.timeline.at(9))])
    stage.wait(0.1)
    stage.session.apply([Change("driving", SLIDERS)])
    column = stage.avatar.head.expression_index("jawOpen")
    found = []
    for _ in range(4):
        stage.wait(0.1)
        assert stage.session._shown is not None
        found.append(float(stage.session._shown.expression[0, column]))
    assert found[0] > found[1] > found[2] == found[3] == pytest.approx(0.1)
