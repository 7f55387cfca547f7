"""Snapshots of the image in the window."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from viewer.outputs.snapshot import save_snapshot


def noise(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 16, channels), np.uint8)


@pytest.mark.parametrize("channels", [3, 4])
def test_every_pixel_is_stored(channels: int, tmp_path: Path) -> None:
    back = read_image(save_snapshot(noise(channels), tmp_path), cv2.IMREAD_UNCHANGED)
    assert back is not None
    np.testing.assert_array_equal(back[..., [2, 1, 0, 3][:channels]], noise(channels))


def test_in_a_folder_names_have_date_time_and_number(tmp_path: Path) -> None:
    paths = [save_snapshot(noise(3), tmp_path / "new") for _ in range(5)]
    assert len(set(paths)) == 5 and sorted((tmp_path / "new").iterdir()) == sorted(paths)
    assert all(re.fullmatch(r"headsplat_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d\d\.png", path.name) for path in paths)


def test_an_existing_name_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "me.png").write_bytes(b"mine")
    found = [save_snapshot(noise(3), tmp_path / "me.png").name for _ in range(2)]
    assert found == ["me_2.png", "me_3.png"]
    assert (tmp_path / "me.png").read_bytes() == b"mine"


def test_another_suffix_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"me.jpg: images are saved as .png; use that suffix, or give a folder"):
        save_snapshot(noise(3), tmp_path / "me.jpg")


def test_a_path_that_cannot_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"the image cannot be saved \(.*\); choose another folder"):
        save_snapshot(noise(3), tmp_path / "file" / "folder")


def test_an_array_of_another_shape_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image: expected uint8 \[H,W,3\] or \[H,W,4\], got uint8 \[12, 16, 2\]"):
        save_snapshot(noise(2), tmp_path)
