"""One picture of what the window shows, on the disk."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

import numpy as np

from avatar.common.files import atomic_path, error_words
from avatar.common.image_io import encode_png
from avatar.errors import HeadsplatError

_CHANNELS = {3: [2, 1, 0], 4: [2, 1, 0, 3]}  # OpenCV's order
_EFFORT = 3  # of avatar.common.image_io.encode_png


def save_snapshot(picture: np.ndarray, place: str | Path) -> Path:
    """Save `picture` as PNG and return where; nothing is ever overwritten.

    Args:
        picture: uint8 [H,W,3], or [H,W,4] with straight alpha.
        place: a name in .png, numbered where it is taken; or a folder, for a name of date, time and number.

    Raises:
        HeadsplatError: another suffix, or the disk refuses.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in _CHANNELS:
        raise ValueError(f"picture: expected uint8 [H,W,3] or [H,W,4], got {picture.dtype} {list(picture.shape)}")
    path = _free_path(Path(place))
    content = encode_png(picture[..., _CHANNELS[picture.shape[2]]], _EFFORT)
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except (HeadsplatError, OSError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise HeadsplatError(
            f"{path}: the picture cannot be saved ({error_words(cause)}); choose another folder for it"
        ) from error
    return path


def _free_path(place: Path) -> Path:
    """A path that nothing has: `place` itself or numbered, or a new name in the folder that it is."""
    if place.suffix and not place.is_dir():
        if place.suffix.lower() != ".png":
            raise HeadsplatError(f"{place}: pictures are saved as .png; name it so, or give a folder")
        numbered = (place.with_stem(f"{place.stem}_{number}") for number in itertools.count(2))
        return next(path for path in itertools.chain([place], numbered) if not path.exists())
    stem = f"headsplat_{datetime.now():%Y-%m-%d_%H-%M-%S}"
    dated = (place / f"{stem}_{number:02d}.png" for number in itertools.count(1))
    return next(path for path in dated if not path.exists())
