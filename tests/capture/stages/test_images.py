"""Small images of stored frames: the same values from memory and from the files, and a limit of what is kept."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.common.image_io import encode_png
from avatar.errors import HeadsplatError
from capture.stages import images
from capture.stages.images import SmallImages

STORED = (600, 400)


@pytest.fixture
def frames(tmp_path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Stored frames: RGB and matte by number, also in the files of a capture in `tmp_path`."""
    rng = np.random.default_rng(0)
    found = {}
    for number in range(3):
        rgb = cv2.GaussianBlur(rng.integers(0, 255, (*STORED[::-1], 3), np.uint8), (0, 0), 2)
        matte = rng.integers(0, 255, STORED[::-1], np.uint8)
        for folder, image in (("frames", rgb[..., ::-1]), ("mattes", matte)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{number:05d}.png").write_bytes(encode_png(np.ascontiguousarray(image), 1))
        found[number] = rgb, matte
    return found


def test_kept_images_are_those_of_the_files(tmp_path: Path, frames: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    kept, read = SmallImages(tmp_path / "none", STORED), SmallImages(tmp_path, STORED)
    for number, pair in frames.items():
        kept.add(number, *pair)
        assert kept.luma(number).shape == kept.matte(number).shape == (171, 256)
        assert np.array_equal(kept.luma(number), read.luma(number))
        assert np.array_equal(kept.matte(number), read.matte(number))


def test_frames_past_the_limit_are_read(
    tmp_path: Path, frames: dict[int, tuple[np.ndarray, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_MOST_BYTES", 50_000)
    small = SmallImages(tmp_path, STORED)
    for number, pair in frames.items():
        small.add(number, *pair)
    (tmp_path / "frames" / "00000.png").unlink()
    (tmp_path / "frames" / "00002.png").unlink()
    assert small.luma(0).any()  # 171 x 256 bytes and the matte fill the limit
    with pytest.raises(HeadsplatError, match=r"frames/00002.png: missing or damaged image; capture the video again"):
        small.luma(2)


def test_small_frames_keep_their_size(tmp_path: Path) -> None:
    small = SmallImages(tmp_path, (64, 48))
    matte = np.full((48, 64), 7, np.uint8)
    small.add(5, np.zeros((48, 64, 3), np.uint8), matte)
    assert small.scale == 1.0 and np.array_equal(small.matte(5), matte)
