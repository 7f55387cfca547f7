"""The passes of a rendered frame, their dtype and channels."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

Pass = Literal["rgb", "alpha", "depth", "normals", "mesh"]


PASSES: tuple[Pass, ...] = get_args(Pass)


#: Pictures in color, which may come with straight alpha.
COLORED: tuple[Pass, ...] = ("rgb", "mesh")


def expected(name: Pass, alpha: bool) -> tuple[type, int, str]:
    """(dtype, channels or 0 for none, in words) of the pictures of a pass."""
    if name == "alpha":
        return np.uint8, 0, "[H,W] uint8"
    if name == "depth":
        return np.float32, 0, "[H,W] float32"
    if name == "normals":
        return np.float32, 3, "[H,W,3] float32"
    return np.uint8, 4 if alpha else 3, f"[H,W,{4 if alpha else 3}] uint8"


def check_image(picture: np.ndarray, name: Pass, alpha: bool, size: tuple[int, int] | None) -> None:
    """Raise ValueError unless `picture` is one of pass `name`, as high and wide as `size` (None: any)."""
    dtype, channels, words = expected(name, alpha)
    shape = picture.shape
    if picture.dtype != dtype or shape[2:] != ((channels,) if channels else ()) or len(shape) < 2 or 0 in shape:
        raise ValueError(f"{name}: expected {words}, got {list(shape)} {picture.dtype}")
    if size is not None and shape[:2] != size:
        raise ValueError(f"{name}: expected {list(size)} as in the first frame, got {list(shape[:2])}")
