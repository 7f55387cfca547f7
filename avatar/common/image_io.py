"""Pictures on disk under any path: OpenCV's own imread and imwrite refuse non-ASCII names on Windows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar.errors import HeadsplatError


def read_image(path: Path, mode: int) -> np.ndarray | None:
    """The picture at `path` as cv2.imread gives it for `mode` (cv2.IMREAD_*); None if missing or not a picture."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, mode) if len(data) else None  # imdecode raises on an empty buffer


def write_image(path: Path, picture: np.ndarray) -> None:
    """Write uint8 [H,W,3] BGR or [H,W] gray as PNG.

    Raises:
        HeadsplatError: the picture cannot be encoded.
        OSError: the system refuses the file.
    """
    try:
        path.write_bytes(encode_png(picture))
    except cv2.error as error:
        found = f"{list(picture.shape)} {picture.dtype}"
        raise HeadsplatError(f"{path}: expected a picture [H,W,3] or [H,W] uint8, got {found}") from error


_FAST_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.12
    _FAST_PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


def encode_png(picture: np.ndarray, level: int | None = None) -> bytes:
    """The picture uint8 [H,W,3] BGR or [H,W] gray as a PNG file; `level` is the effort 0..9, None OpenCV's default.

    With a level every row is stored as the difference from the one above and only runs are looked for: a third of the
    time of OpenCV's own choice on frames of a video, and about as small.
    """
    options = [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level, *_FAST_PNG]
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(picture), options)
    assert done
    return encoded.tobytes()
