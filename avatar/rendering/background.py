"""Backgrounds from command line text: colors, image files, transparent."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from avatar.rendering.settings import Background

_COLORS = {
    "white": "ffffff", "black": "000000", "gray": "808080", "grey": "808080", "red": "ff0000", "green": "00b140",
    "blue": "0047bb",
}  # fmt: skip
#: Largest area of an image that covers the frame, relative to the frame.
_MAX_COVER = 16
_TRANSPARENT = ("transparent", "alpha")


def parse_color(text: str) -> tuple[float, float, float]:
    """sRGB 0..1 of a color name or #rrggbb; raises HeadsplatError for other text."""
    color = _color(text)
    if color is None:
        raise HeadsplatError(f"--background: {text!r} is not a color; give {_names()}, or #rrggbb")
    return color


def _color(text: str) -> tuple[float, float, float] | None:
    code = _COLORS.get(text, text.removeprefix("#") if text.startswith("#") else "")
    if not re.fullmatch(r"[0-9a-fA-F]{6}", code):
        return None
    red, green, blue = bytes.fromhex(code)
    return red / 255, green / 255, blue / 255


def _names() -> str:
    return ", ".join(name for name in _COLORS if name != "grey")


def parse_background(text: str, width: int, height: int) -> Background:
    """Parse a background: a color name, #rrggbb, `transparent`, or the path of an image file.

    Args:
        text: what the user gave.
        width: pixels; an image is resized to cover the frame.
        height: pixels.

    Raises:
        HeadsplatError: the text is none of these, or the image cannot be read or is too narrow.
    """
    if text in _TRANSPARENT:
        return Background(transparent=True)
    color = _color(text)
    if color is not None:
        return Background(color)
    path = Path(text)
    if not path.is_file():
        raise HeadsplatError(
            f"--background: {text!r} is not a color and not an image file; give {_names()}, #rrggbb, transparent, an "
            "image file, or a film of the avatar's person"
        )
    image = read_image(path, cv2.IMREAD_COLOR)
    if image is None:
        raise HeadsplatError(f"--background: {path}: cannot be read as an image; give a PNG or JPEG file")
    scale = max(width / image.shape[1], height / image.shape[0])
    if image.shape[0] * image.shape[1] * scale**2 > _MAX_COVER * width * height:
        raise HeadsplatError(
            f"--background: {path}: {image.shape[1]}x{image.shape[0]} pixels are too narrow for a frame of "
            f"{width}x{height}; crop the image"
        )
    return Background(image=resize_to_cover(image[..., ::-1], width, height))


def resize_to_cover(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize an image [h,w,3] uint8 until it covers [height,width,3] and crop the center; the aspect ratio is kept."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(np.ascontiguousarray(image), size, interpolation=method)
    left = (size[0] - width) // 2
    top = (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
