"""Inputs of a rendering: resampled tracks and cameras for other image sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import head_of
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.jobs.render_inputs import following_camera, resample
from avatar.rendering.cameras import fit_camera
from avatar.types import Camera, HeadParams
from tests.support.tiny import tiny_capture


def track(frames: int) -> tuple[HeadParams, np.ndarray]:
    """A linear motion: weights grow by 1, translation by 2, rotation of the root by 0.5 radians per second."""
    times = np.linspace(1.0, 2.0, frames)
    since = torch.from_numpy(times).float()[:, None]
    joint_rot = torch.zeros(frames, 5, 3)
    joint_rot[:, 0, 1:2] = 0.5 * since
    return HeadParams(torch.zeros(0), since.expand(-1, 2), joint_rot, 2 * since.expand(-1, 3)), times


def test_resampling_is_exact_for_linear_motion() -> None:
    params, times = track(11)
    resampled, found_times = resample(params, times, 24.0)
    assert found_times == pytest.approx(1 + np.arange(25) / 24)
    expected = torch.from_numpy(found_times).float()
    assert torch.allclose(resampled.expression[:, 0], expected, atol=1e-5)
    assert torch.allclose(resampled.translation[:, 2], 2 * expected, atol=1e-5)
    assert torch.allclose(resampled.joint_rot[:, 0, 1], 0.5 * expected, atol=1e-4)


def test_resampling_takes_the_shortest_arc_near_180_degrees() -> None:
    params, _ = track(2)
    params.joint_rot[:, 0] = torch.tensor([[0.0, 3.1, 0.0], [0.0, -3.1, 0.0]])
    resampled, _ = resample(params, np.array([0.0, 1.0]), 2.0)
    middle = axis_angle_to_matrix(resampled.joint_rot[1, 0])
    assert torch.allclose(middle, torch.diag(torch.tensor([-1.0, 1.0, -1.0])), atol=1e-3)


def test_a_lower_rate_smooths_jitter() -> None:
    params, times = track(241)
    shaking = replace(params, expression=0.5 + 0.3 * torch.cos(torch.pi * torch.arange(241.0))[:, None].expand(-1, 2))
    found, _ = resample(shaking, 4 * times, 15.0)
    assert (found.expression - 0.5).abs()[2:-2].max() < 0.03


def test_a_single_frame_stays_a_single_frame() -> None:
    params, times = track(1)
    assert len(resample(params, times, 60.0)[0]) == 1


def test_times_that_do_not_increase_are_refused() -> None:
    params, _ = track(3)
    with pytest.raises(HeadsplatError, match="times do not increase; capture the video again"):
        resample(params, np.array([0.0, 0.5, 0.5]), 30.0)


@pytest.mark.parametrize("size", [(200, 200), (400, 300), (100, 700)])
def test_another_image_size_shows_the_full_view_undistorted_and_centered(size: tuple[int, int]) -> None:
    camera = fit_camera(Camera.facing(100.0, 100, 200), *size)
    K = camera.K[0]
    assert (camera.width, camera.height) == size
    assert K[0, 0] == K[1, 1] == pytest.approx(100 * min(size[0] / 100, size[1] / 200))
    assert K[:2, 2].tolist() == pytest.approx([size[0] / 2, size[1] / 2])


def test_a_capture_loads_the_built_in_head_it_was_tracked_with(tmp_path: Path) -> None:
    half = load_head("embedded-half")
    capture = tiny_capture(tmp_path / "tiny", frames=2)
    stored = {**capture.metadata["head"], "source": "embedded-half", "name": half.name, "model_id": half.model_id}
    metadata = {**capture.metadata, "head": stored}
    (capture.root / "capture.json").write_text(json.dumps(metadata))
    assert head_of(Capture.load(capture.root)) is half


def test_the_camera_of_a_capture_follows_its_window_between_frames(tiny: Capture) -> None:
    centers = tiny.track["principal_point"] + np.arange(len(tiny))[:, None] * [2.0, -1.0]
    moving = replace(tiny, track={**tiny.track, "principal_point": centers})
    camera = following_camera(moving, tiny.track["time"][:4] + 0.5 / 30)
    np.testing.assert_allclose(camera.K[:, 0, 2], 32 + 2 * (np.arange(4) + 0.5), rtol=1e-5)
    np.testing.assert_allclose(camera.K[:, 1, 2], 32 - (np.arange(4) + 0.5), rtol=1e-5)
    assert camera.world_to_cam.shape == (4, 4, 4) and (camera.width, camera.height) == (64, 64)
    assert len(following_camera(tiny, tiny.track["time"][:4])) == 1
