"""Mattes made by the user with another tool: a folder of images named by frame number, or a video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from capture.video.decoding import SourceFrame, open_video

_IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")


class MatteFolder:
    """Images whose name ends in the frame number; counted from 0, or from 1 where no image is number 0."""

    def __init__(self, path: Path) -> None:
        self.path = path
        numbered = [(match, file) for file in path.iterdir() if (match := _number(file)) is not None]
        if not numbered:
            raise HeadsplatError(
                f"{path}: no mattes in it; name one image per frame by its number, as 00000.png, 00001.png"
            )
        first = min(1, min(number for number, _ in numbered))
        self._files = {number - first: file for number, file in numbered}

    def matte(self, number: int, size: tuple[int, int]) -> np.ndarray:
        """Matte [H,W] uint8 of source frame `number` at `size` (width, height): its alpha channel, else its gray."""
        file = self._files.get(number)
        if file is None:
            raise HeadsplatError(
                f"{self.path}: no matte for frame {number} (there are {len(self._files)}, up to frame "
                f"{max(self._files)}); make one matte per frame of the video"
            )
        image = read_image(file, cv2.IMREAD_UNCHANGED)
        if image is None:
            raise HeadsplatError(f"{file}: cannot be read as an image; export the matte again")
        if image.dtype == np.uint16:
            image = (image // 257).astype(np.uint8)
        if image.ndim == 3:
            image = image[..., 3] if image.shape[2] == 4 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return _fit(image, file, size)


class MatteVideo:
    """A black and white video with the frames of the source; frames must be requested in increasing order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frames: Iterator[SourceFrame] = iter(open_video(path))
        self._current: SourceFrame | None = None

    def matte(self, number: int, size: tuple[int, int]) -> np.ndarray:
        """Matte [H,W] uint8 of source frame `number`, which may only grow, at `size` (width, height)."""
        while self._current is None or self._current.number < number:
            following = next(self._frames, None)
            if following is None:
                raise HeadsplatError(
                    f"{self.path}: no matte for frame {number}, the matte video is shorter than the video; "
                    "export it with as many frames"
                )
            self._current = following
        if self._current.number > number:
            raise ValueError(f"number: expected at least {self._current.number} (mattes come in order), got {number}")
        return _fit(cv2.cvtColor(self._current.rgb, cv2.COLOR_RGB2GRAY), self.path, size)


def open_mattes(path: str | Path) -> MatteFolder | MatteVideo:
    """The user's mattes: a folder of images or a video; `.matte(number, size)` gives them one by one.

    Raises:
        HeadsplatError: nothing is there, the folder has no numbered images, or the video cannot be read.
    """
    path = Path(path)
    return MatteFolder(path) if path.is_dir() else MatteVideo(path)


def _number(file: Path) -> int | None:
    match = _LAST_NUMBER.search(file.stem)
    return int(match.group(1)) if match and file.suffix.lower() in _IMAGES else None


def _fit(matte: np.ndarray, source: Path, size: tuple[int, int]) -> np.ndarray:
    """The matte at the size of the frame; another shape (aspect) is an error."""
    width, height = size
    matte_height, matte_width = matte.shape
    if (matte_width, matte_height) == (width, height):
        return matte
    if abs(matte_width * height - matte_height * width) > 0.02 * matte_width * height:
        raise HeadsplatError(
            f"{source}: the matte is {matte_width}x{matte_height}, the video {width}x{height}; "
            "export mattes of the same shape as the video"
        )
    shrinks = matte_width > width
    return cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
