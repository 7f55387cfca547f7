"""Image files under any path: OpenCV's own imread and imwrite fail on non-ASCII names on Windows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar.errors import HeadsplatError


def read_image(path: Path, mode: int) -> np.ndarray | None:
    """The image at `path` as cv2.imread returns it for `mode` (cv2.IMREAD_*); None if missing or not an image."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, mode) if len(data) else None  # imdecode raises on an empty buffer


def write_image(path: Path, image: np.ndarray) -> None:
    """Write uint8 [H,W,3] BGR or [H,W] gray as PNG.

    Raises:
        HeadsplatError: the image cannot be encoded.
        OSError: the file cannot be written.
    """
    try:
        path.write_bytes(encode_png(image))
    except cv2.error as error:
        found = f"{list(image.shape)} {image.dtype}"
        raise HeadsplatError(f"{path}: expected an image [H,W,3] or [H,W] uint8, got {found}") from error


_FAST_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.12
    _FAST_PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


def encode_png(image: np.ndarray, level: int | None = None) -> bytes:
    """Encode an image, uint8 [H,W,3] BGR or [H,W] gray, as a PNG file.

    `level` is the zlib compression level 0..9; None is OpenCV's default. With a level every row is stored as the
    difference from the row above (filter "up") and run-length encoded: a third of the time of OpenCV's default on video
    frames, at about the same size.
    """
    options = [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level, *_FAST_PNG]
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(image), options)
    assert done
    return encoded.tobytes()
