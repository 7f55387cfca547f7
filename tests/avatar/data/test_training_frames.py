"""Training frames: images from several cameras share the head state of their time step; exposure is normalized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.stored_images import normalize_exposure
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from tests.support.tiny import side_camera, tiny_capture

SIZE = 32


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """5 time steps of two cameras: rows 2 k and 2 k + 1 belong to time step k."""
    root = tmp_path_factory.mktemp("frames") / "capture"
    return tiny_capture(root, frames=5, size=SIZE, test_every=0, others=[side_camera(SIZE, 30)])


@pytest.fixture(scope="module")
def head(capture: Capture) -> HeadModel:
    return bake_identity(load_head(), torch.from_numpy(capture.track["identity"]))


@pytest.fixture(scope="module")
def frames(capture: Capture, head: HeadModel) -> TrainingFrames:
    """Time steps 3, 1 and 4; the first two from both cameras, not in order."""
    return load_frames(capture, [7, 2, 6, 3, 8], SIZE, head)


def test_images_of_one_time_step_share_its_state(frames: TrainingFrames) -> None:
    assert frames.step.tolist() == [1, 0, 1, 0, 2]
    assert len(frames.states) == 3


def test_times_are_those_of_the_time_steps(frames: TrainingFrames) -> None:
    np.testing.assert_allclose(frames.time, np.array([1, 3, 4]) / 30)


def test_poses_are_those_of_each_images_time_step(frames: TrainingFrames, capture: Capture, head: HeadModel) -> None:
    params = replace(capture.params([7, 2, 6, 3, 8]), identity=torch.zeros(0))
    rotation, translation = head.skull_pose(params)
    torch.testing.assert_close(frames.rotation, rotation)
    torch.testing.assert_close(frames.translation, translation)


def test_cameras_are_those_of_each_image(frames: TrainingFrames) -> None:
    front, side = frames.view(1).world_to_cam, frames.view(0).world_to_cam
    assert not torch.equal(front, side)
    expected = [side, front, front, side, front]
    assert torch.equal(frames.views(torch.arange(5)).world_to_cam, torch.cat(expected))


def test_the_head_is_projected_into_the_matte_of_each_camera(frames: TrainingFrames) -> None:
    for index in range(len(frames)):
        view = frames.view(index)
        world = frames.vertices(index) @ frames.rotation[index].T + frames.translation[index]
        columns, rows = view.project(world).floor().long().unbind(1)
        inside = (columns >= 0) & (columns < SIZE) & (rows >= 0) & (rows < SIZE)
        assert (frames.alpha[index][rows[inside], columns[inside]] > 0).float().mean() > 0.95, index


def test_resized_frames_keep_states_and_scale_cameras(frames: TrainingFrames) -> None:
    half = frames.resized(0.5)
    assert half.rgb.shape == (5, 16, 16, 3) and half.alpha.shape == (5, 16, 16)
    assert half.states is frames.states
    torch.testing.assert_close(half.camera.K[:, :2], frames.camera.K[:, :2] / 2)


def test_the_weight_of_an_image_is_that_of_its_row(capture: Capture, head: HeadModel) -> None:
    track = dict(capture.track) | {"weight": np.linspace(0, 1, 10)}
    found = load_frames(Capture(capture.root, capture.metadata, track), [9, 0], SIZE, head).weight
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0]))


def test_exposure_is_normalized_at_loading(capture: Capture, head: HeadModel) -> None:
    before = load_frames(capture, [2], SIZE, head).rgb
    track = dict(capture.track) | {"exposure": np.tile([0.5, 0.8, 2.0], (10, 1))}
    found = load_frames(Capture(capture.root, capture.metadata, track), [2], SIZE, head).rgb
    expected = (before.double() / torch.tensor([0.5, 0.8, 2.0]).double()).clamp(max=255)
    assert (found.double() - expected).abs().max() < 0.501


def test_normalizing_removes_the_gain_of_an_image() -> None:
    source = np.random.default_rng(0)
    typical, gain = source.integers(20, 150, (2, 4, 5, 3)), np.array([[1.25, 0.9, 1.1], [0.8, 1.0, 1.3]])
    images = (typical * gain[:, None, None] + 0.5).astype(np.uint8)
    normalize_exposure(images, gain)
    assert np.abs(images.astype(int) - typical).max() <= 1


def test_images_of_constant_exposure_stay_as_they_are() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    before = images.copy()
    normalize_exposure(images, np.ones((2, 3)))
    assert (images == before).all()
