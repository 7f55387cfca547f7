"""Pictures of the window on the disk."""

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
def test_every_pixel_comes_back(channels: int, tmp_path: Path) -> None:
    back = read_image(save_snapshot(noise(channels), tmp_path), cv2.IMREAD_UNCHANGED)
    assert back is not None
    np.testing.assert_array_equal(back[..., [2, 1, 0, 3][:channels]], noise(channels))


def test_a_folder_gets_names_of_date_time_and_number(tmp_path: Path) -> None:
    paths = [save_snapshot(noise(3), tmp_path / "new") for _ in range(5)]
    assert len(set(paths)) == 5 and sorted((tmp_path / "new").iterdir()) == sorted(paths)
    assert all(re.fullmatch(r"headsplat_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d\d\.png", path.name) for path in paths)


def test_a_name_that_is_taken_is_numbered(tmp_path: Path) -> None:
    (tmp_path / "me.png").write_bytes(b"mine")
    found = [save_snapshot(noise(3), tmp_path / "me.png").name for _ in range(2)]
    assert found == ["me_2.png", "me_3.png"]
    assert (tmp_path / "me.png").read_bytes() == b"mine"


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"me.jpg: pictures are saved as .png; name it so, or give a folder"):
        save_snapshot(noise(3), tmp_path / "me.jpg")


def test_a_place_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"the picture cannot be saved \(.*\); choose another folder for it"):
        save_snapshot(noise(3), tmp_path / "file" / "folder")


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"picture: expected uint8 \[H,W,3\] or \[H,W,4\], got uint8 \[12, 16, 2\]"):
        save_snapshot(noise(2), tmp_path)
