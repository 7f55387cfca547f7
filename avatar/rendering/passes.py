"""The passes of a rendered frame, and the dtype and channels of each."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

Pass = Literal["rgb", "alpha", "depth", "normals", "mesh"]

PASSES: tuple[Pass, ...] = get_args(Pass)

#: Passes with colors, which may have straight alpha as a fourth channel.
COLOR_PASSES: tuple[Pass, ...] = ("rgb", "mesh")


def expected_format(name: Pass, alpha: bool) -> tuple[type, int, str]:
    """(dtype, number of channels or 0 for a [H,W] image, description) of the images of pass `name`.

    Args:
        name: the pass.
        alpha: color passes have straight alpha.
    """
    if name == "alpha":
        return np.uint8, 0, "[H,W] uint8"
    if name == "depth":
        return np.float32, 0, "[H,W] float32"
    if name == "normals":
        return np.float32, 3, "[H,W,3] float32"
    return np.uint8, 4 if alpha else 3, f"[H,W,{4 if alpha else 3}] uint8"


def check_image(image: np.ndarray, name: Pass, alpha: bool, size: tuple[int, int] | None) -> None:
    """Check that an image is of a pass.

    Args:
        image: the image to check.
        name: the pass.
        alpha: color passes have straight alpha.
        size: expected (height, width) in pixels; None accepts any size.

    Raises:
        ValueError: the dtype, the number of channels or the size is another one.
    """
    dtype, channels, description = expected_format(name, alpha)
    shape = image.shape
    if image.dtype != dtype or shape[2:] != ((channels,) if channels else ()) or len(shape) < 2 or 0 in shape:
        raise ValueError(f"{name}: expected {description}, got {list(shape)} {image.dtype}")
    if size is not None and shape[:2] != size:
        raise ValueError(f"{name}: expected {list(size)} as in the first frame, got {list(shape[:2])}")
