"""A session beside a training: the newest avatar is shown, the person's settings stay, the training keeps its time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.driving.driver import DriveOptions
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.motion.from_capture import motion_of
from avatar.training.progress import TrainProgress
from avatar.training.snapshot import SnapshotBuffer, snapshot_of
from viewer.render.orbit import Orbit
from viewer.session.edits import Change
from viewer.session.pose_sources import Player
from viewer.session.session import Session
from viewer.session.state import SLIDERS, TIMELINE
from viewer.session.training_view import SHARE, Watch, words_of


class Clock:
    """Time that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Growing:
    """A session of a small picture that watches a training."""

    def __init__(self, avatar: Avatar) -> None:
        self.growth, self.clock, self.over = SnapshotBuffer(every=0), Clock(), False
        self.session = Session(avatar, "me.avatar", clock=self.clock)
        view = replace(self.session.state.view, height=32, width=32)
        self.session.apply([Change("view", view)])
        self.session.watch = Watch(self.growth, avatar, lambda: self.over)
        self.session.advance()

    def advance(self, seconds: float = 0.0) -> bool:
        self.clock.now += seconds
        return self.session.advance()


@pytest.fixture
def growing(tiny_avatar: Avatar) -> Growing:
    return Growing(tiny_avatar)


@pytest.fixture
def later(tiny_avatar: Avatar) -> Avatar:
    """The avatar after more training: all blue."""
    avatar = snapshot_of(tiny_avatar)
    with torch.no_grad():
        avatar.colors.copy_(torch.tensor([-1.0, -1.0, 1.0]).expand_as(avatar.colors))
    return avatar


def test_a_snapshot_replaces_the_avatar_that_is_shown(growing: Growing, later: Avatar) -> None:
    assert growing.session.picture is not None
    before = growing.session.picture.copy()
    growing.growth.offer(later)
    assert growing.advance()
    assert not np.array_equal(growing.session.picture, before)


def test_nothing_is_drawn_anew_while_nothing_grows(growing: Growing) -> None:
    assert not growing.advance(1.0)


def test_camera_look_and_sliders_stay_when_the_avatar_grows(growing: Growing, later: Avatar) -> None:
    session = growing.session
    session.apply(
        [
            Change("view", replace(session.state.view, orbit=Orbit(yaw=20))),
            Change("look", replace(session.state.look, background=(0.0, 1.0, 0.0))),
            Change("sliders", replace(session.state.sliders, weights={"jawOpen": 0.7})),
        ]
    )
    session.advance()
    state, camera = session.state, session.camera(32, 32)
    growing.growth.offer(later)
    growing.advance()
    assert session.avatar is not later and torch.equal(session.avatar.colors, later.colors)
    assert (session.state.view, session.state.look, session.state.sliders) == (state.view, state.look, state.sliders)
    assert torch.equal(session.camera(32, 32).world_to_cam, camera.world_to_cam)


def test_another_avatar_that_was_opened_is_not_replaced(growing: Growing, later: Avatar, tiny_avatar: Avatar) -> None:
    other = snapshot_of(tiny_avatar)
    growing.session.replace_avatar(other, "other.avatar")
    growing.advance()
    growing.growth.offer(later)
    growing.advance()
    assert growing.session.avatar is other


def played(growing: Growing, tiny: Capture, avatar: Avatar) -> Session:
    player = Player(avatar, motion_of(tiny, load_head()), DriveOptions(head="absolute"))
    growing.session.show_motion(player, "clip", label="training clip")
    for seconds in (1.0, 0.001, 10.0):  # blended into, shown at once, and the next picture drawn
        growing.advance(seconds)
    return growing.session


def test_a_clip_that_is_played_rests_after_a_picture_as_long_as_the_training_needs(
    growing: Growing, tiny: Capture, tiny_avatar: Avatar
) -> None:
    played(growing, tiny, tiny_avatar)
    growing.advance(0.05)  # that picture took 50 ms on its way to the screen
    rest = 0.05 * (1 / SHARE - 1)
    assert not growing.advance(rest * 0.9)
    assert growing.advance(rest * 0.2)


def test_turning_the_camera_waits_for_nothing(growing: Growing, tiny: Capture, tiny_avatar: Avatar) -> None:
    session = played(growing, tiny, tiny_avatar)
    growing.advance(0.05)
    session.apply([Change("view", replace(session.state.view, orbit=Orbit(yaw=20)))])
    assert growing.advance(0.001)


def test_a_finished_training_leaves_all_the_time_to_the_clip(
    growing: Growing, tiny: Capture, tiny_avatar: Avatar
) -> None:
    played(growing, tiny, tiny_avatar)
    growing.growth.finish(tiny_avatar)
    growing.advance(0.05)
    assert growing.advance(0.05) and growing.advance(0.05)


def test_the_selector_offers_the_clip_and_the_sliders(growing: Growing, tiny: Capture, tiny_avatar: Avatar) -> None:
    session = played(growing, tiny, tiny_avatar)
    assert [(choice.key, choice.label) for choice in session.state.choices] == [
        (SLIDERS, "sliders"),
        (TIMELINE, "training clip"),
    ]


def test_the_status_tells_how_far_the_training_is_and_then_what_came_of_it(
    growing: Growing, tiny_avatar: Avatar
) -> None:
    growing.growth.report(TrainProgress(250, 10.0, 0.25, 0.1, 28.31, 30.2, "training", None))
    growing.advance(1.0)
    assert growing.session.state.status.growing == "training, 25%: step 250, 28.3 dB, 30 s left"
    growing.growth.finish(tiny_avatar)
    growing.advance(1.0)
    psnr = tiny_avatar.provenance["train_psnr"]
    assert growing.session.state.status.growing == f"trained: 80 steps, {psnr} dB"


def test_a_refinement_is_told_without_a_time_that_nobody_knows() -> None:
    progress = TrainProgress(250, 10.0, 0.25, float("nan"), 28.31, float("nan"), "refining 3 of 20", None)
    assert words_of(progress) == "refining 3 of 20, 25%: step 250, 28.3 dB"


def test_the_window_is_closed_when_there_is_nothing_more_to_see(growing: Growing) -> None:
    growing.advance()
    assert not growing.session.closing
    growing.over = True
    growing.advance()
    assert growing.session.closing
