"""Image files under any path: OpenCV's own imread and imwrite fail on non-ASCII names on Windows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_size import declared_size
from avatar.errors import HeadsplatError

#: Limits of an image that is read: pixels (width times height), and bytes of the file.
MAX_PIXELS = 100_000_000
_MAX_BYTES = 512 << 20


def read_image(path: Path, mode: int) -> np.ndarray | None:
    """The image at `path` as cv2.imread returns it for `mode` (cv2.IMREAD_*).

    Its size is read from its header first: a file of a few kilobytes can declare an image that fills the memory.

    Returns:
        [H,W] or [H,W,channels], uint8 or uint16; None if it is missing, damaged, or not a PNG, JPEG, WebP, TIFF or BMP
        file of such values.

    Raises:
        HeadsplatError: it has more than MAX_PIXELS pixels.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    size = declared_size(data)
    if size is None or min(size) < 1:
        return None
    check_pixels(path, size)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:
        return None
    return image if image is not None and image.dtype in (np.uint8, np.uint16) else None


def check_pixels(path: Path, size: tuple[int, int]) -> None:
    """Raise HeadsplatError if an image of `size` (width, height) has more than MAX_PIXELS pixels."""
    if size[0] * size[1] > MAX_PIXELS:
        raise HeadsplatError(
            f"{path}: an image of {size[0]}x{size[1]} pixels, {MAX_PIXELS // 1_000_000} million is the most that is "
            "read; make it smaller"
        )


def write_image(path: Path, image: np.ndarray) -> None:
    """Write uint8 [H,W,3] BGR or [H,W] gray as PNG.

    Raises:
        HeadsplatError: the image cannot be encoded.
        OSError: the file cannot be written.
    """
    try:
        content = encode_png(image)
    except HeadsplatError as error:
        raise HeadsplatError(f"{path}: {error}") from error
    path.write_bytes(content)


_FAST_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.12
    _FAST_PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


def encode_png(image: np.ndarray, level: int | None = None) -> bytes:
    """Encode an image, uint8 [H,W,3] BGR or [H,W] gray, as a PNG file.

    `level` is the zlib compression level 0..9; None is OpenCV's default. With a level every row is stored as the
    difference from the row above (filter "up") and run-length encoded: a third of the time of OpenCV's default on video
    frames, at about the same size.

    Raises:
        HeadsplatError: the image cannot be encoded.
    """
    options = [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level, *_FAST_PNG]
    return _encode(".png", image, options)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encode an image, uint8 [H,W,3] BGR or [H,W] gray, as a JPEG file of `quality` 0..100; as for `encode_png`."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    description = f"{list(image.shape)} {image.dtype}"
    try:
        done, encoded = cv2.imencode(suffix, np.ascontiguousarray(image), options)
    except cv2.error as error:
        raise HeadsplatError(f"expected an image [H,W,3] or [H,W] uint8, got {description}") from error
    if not done:
        raise HeadsplatError(f"the image {description} cannot be encoded as {suffix}; check that enough memory is free")
    return encoded.tobytes()
