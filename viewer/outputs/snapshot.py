"""Writes the image in the window to a file."""

from __future__ import annotations

import itertools
import logging
from datetime import datetime
from pathlib import Path

import numpy as np

from avatar.common.credentials import reason_without_mark
from avatar.common.files import atomic_path, error_words
from avatar.common.image_io import encode_png
from avatar.common.made_note import noted_png
from avatar.errors import HeadsplatError

_log = logging.getLogger(__name__)
_CHANNELS = {3: [2, 1, 0], 4: [2, 1, 0, 3]}  # OpenCV's order
_COMPRESSION = 3  # of avatar.common.image_io.encode_png


def save_snapshot(image: np.ndarray, path: str | Path) -> Path:
    """Save `image` as PNG and return its path; existing files are never overwritten.

    Args:
        image: uint8 [H,W,3], or [H,W,4] with straight alpha.
        path: a name in .png, with a number appended where it exists; or a folder, for a name from date and time.

    Returns:
        The path of the new file.

    Raises:
        HeadsplatError: another suffix, or writing fails.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in _CHANNELS:
        raise ValueError(f"image: expected uint8 [H,W,3] or [H,W,4], got {image.dtype} {list(image.shape)}")
    path = _unused_path(Path(path))
    content = noted_png(encode_png(image[..., _CHANNELS[image.shape[2]]], _COMPRESSION))
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except (HeadsplatError, OSError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise HeadsplatError(
            f"{path}: the image cannot be saved ({error_words(cause)}); choose another folder"
        ) from error
    if reason := reason_without_mark(path):
        _log.warning("%s", reason)
    return path


def _unused_path(path: Path) -> Path:
    """A path that does not exist: `path` itself or with a number, or a new name in it where it is a folder."""
    if path.suffix and not path.is_dir():
        if path.suffix.lower() != ".png":
            raise HeadsplatError(f"{path}: images are saved as .png; use that suffix, or give a folder")
        numbered = (path.with_stem(f"{path.stem}_{number}") for number in itertools.count(2))
        return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())
    stem = f"headsplat_{datetime.now():%Y-%m-%d_%H-%M-%S}"
    dated = (path / f"{stem}_{number:02d}.png" for number in itertools.count(1))
    return next(candidate for candidate in dated if not candidate.exists())
