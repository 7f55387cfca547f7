"""The step tracker over the frames of a clip: forward, and both ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.refine.step import ABOVE, StepTracker
from avatar.refine.step_clip import step_capture, step_clip
from avatar.types import HeadParams
from tests.avatar.refine.conftest import Trained
from tests.avatar.refine.made_up import first


def degrees_off(trained: Trained, params: HeadParams, truth: HeadStates) -> np.ndarray:
    """Distance of the skull's rotation from the truth in each frame."""
    rotation = trained.avatar.head.skull_pose(trained.avatar.with_identity(params))[0].double()
    return matrix_to_axis_angle(rotation @ truth.rotation.double().mT).norm(dim=-1).rad2deg().numpy()


@pytest.fixture(scope="module")
def turned(trained: Trained) -> Capture:
    """The drawn person at a sixth of her speed, tracked with an error of 3 degrees in roll."""
    track = dict(trained.capture.track)
    track["joint_rot"] = track["joint_rot"].copy()
    track["joint_rot"][:, 0, 2] += np.radians(3)
    track["time"] = 6 * track["time"]
    return replace(trained.capture, track=track)


def test_a_clip_gives_the_states_of_the_tracker(trained: Trained) -> None:
    frames: TrainingFrames = first(trained.frames, 3)
    reports: list[tuple[int, int]] = []
    states = step_clip(trained.avatar, frames, lambda done, total: reports.append((done, total)))
    tracker, before = StepTracker(trained.avatar), None
    for index in range(3):
        elapsed = 1 / 30 if before is None else float(frames.time[index] - frames.time[before])
        image, matte = frames.rgb[index].numpy(), frames.alpha[index].numpy()
        step = tracker(image, frames.view(index), frames.states.params[index], matte, None, elapsed)
        torch.testing.assert_close(states.params.expression[index : index + 1], step.params.expression)
        before = index
    assert reports == [(1, 3), (2, 3), (3, 3)]


def test_both_ways_correct_the_first_frame_as_well_as_the_last(trained: Trained, turned: Capture) -> None:
    rows, reports = np.arange(24), []
    truth = HeadStates.of(trained.capture.params(rows), trained.avatar.head)
    before = degrees_off(trained, turned.params(rows), truth)
    stepped = step_capture(trained.avatar, turned, rows, None, lambda done, total: reports.append((done, total)))
    after = degrees_off(trained, stepped.params, truth)
    assert before == pytest.approx(3.0, abs=0.03)
    assert max(after.mean(), after[:4].mean(), after[-4:].mean()) < 2.1
    assert np.median(stepped.correlation) > ABOVE
    assert reports[0] == (1, 48) and reports[-1] == (48, 48)
