"""A session during a training: newest snapshot shown, settings kept, rendering time limited."""

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
from viewer.session.pose_sources import MotionPoseSource
from viewer.session.session import Session
from viewer.session.state import SLIDERS, TIMELINE
from viewer.session.training_view import TIME_FRACTION, TrainingView, progress_text


class Clock:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TrainingSession:
    """A session with a small image that shows a training."""

    def __init__(self, avatar: Avatar) -> None:
        self.snapshots, self.clock, self.ended = SnapshotBuffer(every=0), Clock(), False
        self.session = Session(avatar, "me.avatar", clock=self.clock)
        view = replace(self.session.state.camera, height=32, width=32)
        self.session.apply([Change("camera", view)])
        self.session.training = TrainingView(self.snapshots, avatar, lambda: self.ended)
        self.session.advance()

    def advance(self, seconds: float = 0.0) -> bool:
        self.clock.now += seconds
        return self.session.advance()


@pytest.fixture
def trained(tiny_avatar: Avatar) -> TrainingSession:
    return TrainingSession(tiny_avatar)


@pytest.fixture
def later(tiny_avatar: Avatar) -> Avatar:
    """The avatar after more training: all blue."""
    avatar = snapshot_of(tiny_avatar)
    with torch.no_grad():
        avatar.colors.copy_(torch.tensor([-1.0, -1.0, 1.0]).expand_as(avatar.colors))
    return avatar


def test_a_snapshot_replaces_the_avatar_that_is_shown(trained: TrainingSession, later: Avatar) -> None:
    assert trained.session.viewport.image is not None
    before = trained.session.viewport.image.copy()
    trained.snapshots.offer(later)
    assert trained.advance()
    assert not np.array_equal(trained.session.viewport.image, before)


def test_nothing_is_rendered_without_a_new_snapshot(trained: TrainingSession) -> None:
    assert not trained.advance(1.0)


def test_camera_view_settings_and_sliders_stay_with_a_new_snapshot(trained: TrainingSession, later: Avatar) -> None:
    session = trained.session
    session.apply(
        [
            Change("camera", replace(session.state.camera, orbit=Orbit(yaw=20))),
            Change("view", replace(session.state.view, background=(0.0, 1.0, 0.0))),
            Change("sliders", replace(session.state.sliders, weights={"jawOpen": 0.7})),
        ]
    )
    session.advance()
    state, camera = session.state, session.viewport.camera(Orbit(yaw=20), 32, 32)
    trained.snapshots.offer(later)
    trained.advance()
    assert session.avatar is not later and torch.equal(session.avatar.colors, later.colors)
    assert (session.state.camera, session.state.view, session.state.sliders) == (
        state.camera,
        state.view,
        state.sliders,
    )
    assert torch.equal(session.viewport.camera(Orbit(yaw=20), 32, 32).world_to_cam, camera.world_to_cam)


def test_another_avatar_that_was_opened_is_not_replaced(
    trained: TrainingSession, later: Avatar, tiny_avatar: Avatar
) -> None:
    other = snapshot_of(tiny_avatar)
    trained.session.show_avatar(other, "other.avatar")
    trained.advance()
    trained.snapshots.offer(later)
    trained.advance()
    assert trained.session.avatar is other


def played(trained: TrainingSession, tiny: Capture, avatar: Avatar) -> Session:
    source = MotionPoseSource(avatar, motion_of(tiny, load_head()), DriveOptions(head="absolute"))
    trained.session.show_motion(source, "clip", label="training clip")
    for seconds in (1.0, 0.001, 10.0):  # blended, shown, and the next image rendered
        trained.advance(seconds)
    return trained.session


def test_playback_pauses_after_an_image_to_leave_time_to_the_training(
    trained: TrainingSession, tiny: Capture, tiny_avatar: Avatar
) -> None:
    played(trained, tiny, tiny_avatar)
    trained.advance(0.05)  # that image took 50 ms to the screen
    pause = 0.05 * (1 / TIME_FRACTION - 1)
    assert not trained.advance(pause * 0.9)
    assert trained.advance(pause * 0.2)


def test_a_camera_movement_does_not_wait(trained: TrainingSession, tiny: Capture, tiny_avatar: Avatar) -> None:
    session = played(trained, tiny, tiny_avatar)
    trained.advance(0.05)
    session.apply([Change("camera", replace(session.state.camera, orbit=Orbit(yaw=20)))])
    assert trained.advance(0.001)


def test_after_the_training_playback_does_not_pause(
    trained: TrainingSession, tiny: Capture, tiny_avatar: Avatar
) -> None:
    played(trained, tiny, tiny_avatar)
    trained.snapshots.finish(tiny_avatar)
    trained.advance(0.05)
    assert trained.advance(0.05) and trained.advance(0.05)


def test_sliders_and_the_training_clip_can_be_selected(
    trained: TrainingSession, tiny: Capture, tiny_avatar: Avatar
) -> None:
    session = played(trained, tiny, tiny_avatar)
    assert [(choice.key, choice.label) for choice in session.state.sources] == [
        (SLIDERS, "sliders"),
        (TIMELINE, "training clip"),
    ]


def test_the_status_has_the_progress_and_then_the_result_of_the_training(
    trained: TrainingSession, tiny_avatar: Avatar
) -> None:
    trained.snapshots.report(TrainProgress(250, 10.0, 0.25, 0.1, 28.31, 30.2, "training", None))
    trained.advance(1.0)
    assert trained.session.state.status.training == "training, 25%: step 250, 28.3 dB, 30 s left"
    trained.snapshots.finish(tiny_avatar)
    trained.advance(1.0)
    psnr = tiny_avatar.provenance["train_psnr"]
    assert trained.session.state.status.training == f"trained: 80 steps, {psnr} dB"


def test_the_progress_of_a_refinement_has_no_remaining_time() -> None:
    progress = TrainProgress(250, 10.0, 0.25, float("nan"), 28.31, float("nan"), "refining 3 of 20", None)
    assert progress_text(progress) == "refining 3 of 20, 25%: step 250, 28.3 dB"


def test_the_window_is_closed_when_the_training_has_ended_without_a_result(trained: TrainingSession) -> None:
    trained.advance()
    assert not trained.session.closing
    trained.ended = True
    trained.advance()
    assert trained.session.closing


def test_before_and_after_the_steps_the_text_names_the_part() -> None:
    nan = float("nan")
    state = TrainProgress(0, 0.0, 0.0, nan, nan, nan, "decoding frames", None, 0.0, "preparing")
    assert progress_text(state) == "preparing: decoding frames"
