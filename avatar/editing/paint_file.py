"""Images with paint in the UV layout of a head."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.common.image_size import declared_size
from avatar.editing.decals import Canvas
from avatar.editing.surface_map import SIZE
from avatar.errors import HeadsplatError

_SIDES = 64, 8192  # pixels per side of an image


def read_canvas(path: Path) -> Canvas:
    """The paint [SIZE,SIZE,4] of an RGBA image.

    Raises:
        HeadsplatError: no such image, no alpha, not square, or nothing painted.
    """
    if not path.is_file():
        raise HeadsplatError(f"--paint: {path}: no such image; give a PNG with alpha in the UV layout of the head")
    image = read_image(path, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise HeadsplatError(f"--paint: {path}: not an image that can be read; give a PNG with alpha")
    return _canvas(image, f"--paint: {path}")


def decoded_canvas(content: bytes, name: str) -> Canvas:
    """The paint of the bytes of a PNG; `name` is that of errors. Raises HeadsplatError as `read_canvas`."""
    size = declared_size(content)
    image = None
    if size is not None and max(size) <= _SIDES[1]:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise HeadsplatError(f"{name}: not an image that can be read; give a PNG with alpha")
    return _canvas(image, name)


def _canvas(image: np.ndarray, name: str) -> Canvas:
    height, width = image.shape[:2]
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        raise HeadsplatError(f"{name}: no alpha, or more than 8 bits; save it as a PNG of 8 bits with transparency")
    if height != width or not _SIDES[0] <= width <= _SIDES[1]:
        raise HeadsplatError(
            f"{name}: {width}x{height} pixels; the UV layout is square, {_SIDES[0]} to {_SIDES[1]} pixels per side"
        )
    rgba: Canvas = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA).astype(np.uint8)
    if width != SIZE:
        values = rgba.astype(np.float32)
        values[..., :3] *= values[..., 3:] / 255
        how = cv2.INTER_AREA if width > SIZE else cv2.INTER_LINEAR
        values = cv2.resize(values, (SIZE, SIZE), interpolation=how).astype(np.float32)
        values[..., :3] *= 255 / np.maximum(values[..., 3:], 1e-3)
        rgba = np.rint(values.clip(0, 255)).astype(np.uint8)
    if not rgba[..., 3].any():
        raise HeadsplatError(f"{name}: nothing is painted, its alpha is 0 everywhere; paint on it first")
    return rgba


def over(below: Canvas | None, above: Canvas) -> Canvas:
    """The paint of `above` over that of `below`."""
    if below is None:
        return above
    a = above.astype(np.float32) / 255
    b = below.astype(np.float32) / 255
    alpha = a[..., 3:] + b[..., 3:] * (1 - a[..., 3:])
    color = (a[..., :3] * a[..., 3:] + b[..., :3] * b[..., 3:] * (1 - a[..., 3:])) / np.maximum(alpha, 1e-6)
    return np.rint(np.concatenate([color, alpha], -1) * 255).astype(np.uint8)
