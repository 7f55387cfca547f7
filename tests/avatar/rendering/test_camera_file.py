"""Cameras from JSON files: the formats, interpolation between keyframes, and every error."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.rendering.camera_file import camera_at_times, read_camera_file
from avatar.types import FACING_CAMERA

SIZE = {"w": 200, "h": 100}


def at(x: float, degrees: float = 0.0) -> list[list[float]]:
    """Camera to world, OpenGL axes, of a camera at (x, 0, 0) turned about y."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[c, 0, s, x], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]]


def write(folder: Path, content: Any) -> Path:
    path = folder / "path.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_an_opengl_pose_becomes_an_opencv_camera(tmp_path: Path) -> None:
    path = write(tmp_path, {**SIZE, "fl_x": 150.0, "frames": [{"transform_matrix": at(0)}]})
    camera = camera_at_times(read_camera_file(path), np.arange(5) / 25)
    assert len(camera) == 1
    assert torch.equal(camera.world_to_cam[0], torch.tensor(FACING_CAMERA))
    assert camera.K[0].tolist() == [[150, 0, 100], [0, 150, 50], [0, 0, 1]]


def test_an_angle_of_view_gives_the_focal_length(tmp_path: Path) -> None:
    path = write(tmp_path, {**SIZE, "camera_angle_x": math.pi / 2, "frames": [{"transform_matrix": at(0)}]})
    assert read_camera_file(path).K[0, 0, 0] == pytest.approx(100)


def test_a_single_camera_is_read_from_k_and_world_to_cam(tmp_path: Path) -> None:
    K = [[90, 0, 64], [0, 90, 48], [0, 0, 1]]
    path = write(tmp_path, {"K": K, "world_to_cam": FACING_CAMERA})
    camera = read_camera_file(path)
    assert camera.size == (128, 96)
    assert camera.K[0].tolist() == K


def test_keyframes_with_times_are_exact_at_those_times_and_constant_outside(tmp_path: Path) -> None:
    frames = [
        {"transform_matrix": at(1, 0), "time": 10.0, "fl_x": 100},
        {"transform_matrix": at(3, 90), "time": 12.0, "fl_x": 200},
    ]
    path = read_camera_file(write(tmp_path, {**SIZE, "frames": frames}))
    camera = camera_at_times(path, np.array([0.0, 1.0, 2.0, 5.0]))
    view = camera.world_to_cam
    centers = -(view[:, :3, :3].mT @ view[:, :3, 3:])[..., 0]
    assert centers[:, 0].tolist() == pytest.approx([1, 2, 3, 3])
    forward = view[:, 2, :3]  # the camera's z in the world
    assert forward[1].tolist() == pytest.approx([-math.sqrt(0.5), 0, -math.sqrt(0.5)], abs=1e-6)
    assert camera.K[:, 0, 0].tolist() == pytest.approx([100, 150, 200, 200])


def test_keyframes_without_times_are_spread_over_the_motion(tmp_path: Path) -> None:
    frames = [{"transform_matrix": at(x)} for x in (0, 1, 0)]
    camera = camera_at_times(
        read_camera_file(write(tmp_path, {**SIZE, "fl_x": 50, "frames": frames})), np.linspace(0, 4, 5)
    )
    assert (-camera.world_to_cam[:, 0, 3]).tolist() == pytest.approx([0, 0.5, 1, 0.5, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ([1, 2], "contains no cameras (no list of `frames`, no `world_to_cam`); give a NeRF transforms.json"),
        ({"frames": []}, "contains no cameras"),
        ({**SIZE, "fl_x": 9, "frames": [{}]}, "frame 0: no `transform_matrix`"),
        (
            {"fl_x": 9, "frames": [{"transform_matrix": at(0)}]},
            "frame 0: the image size is missing; add w and h",
        ),
        ({**SIZE, "frames": [{"transform_matrix": at(0)}]}, "frame 0: no focal length; add fl_x in pixels"),
        (
            {**SIZE, "fl_x": "long", "frames": [{"transform_matrix": at(0)}]},
            "frame 0: fl_x: expected a number, got 'long'",
        ),
        ({**SIZE, "fl_x": 9, "frames": [{"transform_matrix": [[1]]}]}, "transform_matrix: expected 4x4 numbers"),
        (
            {**SIZE, "fl_x": 9, "frames": [{"transform_matrix": [[2, 0, 0, 0], *at(0)[1:]]}]},
            "frame 0: transform_matrix: not a rotation and a translation; export cameras without scale or mirror",
        ),
        (
            {**SIZE, "fl_x": 9, "frames": [{"transform_matrix": at(k), "camera_index": k} for k in (0, 1)]},
            "contains 2 cameras; keep the frames of one of them",
        ),
        (
            {**SIZE, "fl_x": 9, "frames": [{"transform_matrix": at(k), "time": 1.0} for k in (0, 1)]},
            "frame 1: its time is not after the one before; sort the frames by time",
        ),
        ({"world_to_cam": at(0), "K": [[1]]}, "K: expected 3x3 numbers"),
        ({"world_to_cam": at(0), "K": [[0, 0, 9], [0, 9, 9], [0, 0, 1]]}, "K: focal length: expected 1 to"),
    ],
)
def test_files_without_a_valid_camera_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        read_camera_file(write(tmp_path, content))
    assert message in str(caught.value)
    assert "path.json" in str(caught.value)
