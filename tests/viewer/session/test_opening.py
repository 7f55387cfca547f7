"""Saved views: round trip, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.rendering.camera_file import read_camera_file
from avatar.types import Camera
from viewer.render.orbit import Orbit
from viewer.session.view_file import read_view, write_view

ORBIT = Orbit(12.5, -8.0, 1.4, (0.03, -0.01), 0.8)


def written(path: Path) -> Camera:
    camera = Camera.facing(900.0, 640, 480)
    write_view(path, ORBIT, camera)
    return camera


def test_a_saved_view_is_read_again(tmp_path: Path) -> None:
    written(tmp_path / "view.json")
    assert read_view(tmp_path / "view.json") == ORBIT


def test_a_saved_view_is_a_camera_for_rendering(tmp_path: Path) -> None:
    camera = written(tmp_path / "view.json")
    keys = read_camera_file(tmp_path / "view.json")
    assert keys.size == (640, 480)
    torch.testing.assert_close(torch.from_numpy(keys.K[0]).float(), camera.K[0])
    torch.testing.assert_close(torch.from_numpy(keys.world_to_cam[0]).float(), camera.world_to_cam[0])


@pytest.mark.parametrize("content", ["{", "[]", '{"frames": []}', '{"orbit": 3}'])
def test_other_json_is_not_a_view(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    assert read_view(path) is None


@pytest.mark.parametrize("damage", [{"yaw": "left"}, {"pan": 3}, {"pan": [1, 2, 3]}, {"lens": None}])
def test_a_damaged_view_is_a_one_line_error(tmp_path: Path, damage: dict[str, object]) -> None:
    path = tmp_path / "view.json"
    written(path)
    content = json.loads(path.read_text())
    content["orbit"] |= damage
    path.write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match=r"view\.json: the saved view is damaged"):
        read_view(path)


def test_a_view_without_a_value_is_a_one_line_error(tmp_path: Path) -> None:
    path = tmp_path / "view.json"
    path.write_text('{"orbit": {"yaw": 1}}')
    with pytest.raises(HeadsplatError, match="damaged"):
        read_view(path)
