"""Pictures come back as they were written, whatever the name of the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.common.image_io import read_image, write_image
from avatar.errors import HeadsplatError


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5)])
def test_a_picture_under_a_non_ascii_name_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_image(tmp_path / "Gesicht-ä-顔.png", picture)
    assert np.array_equal(read_image(tmp_path / "Gesicht-ä-顔.png", cv2.IMREAD_UNCHANGED), picture)


def test_missing_empty_and_other_files_are_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("text")
    for name in ("none.png", "empty.png", "text.png"):
        assert read_image(tmp_path / name, cv2.IMREAD_COLOR) is None


def test_an_array_that_is_not_an_image_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"a\.png: expected an image \[H,W,3\] or \[H,W\] uint8, got \[4, 5, 7\]"):
        write_image(tmp_path / "a.png", np.zeros((4, 5, 7), np.uint8))
