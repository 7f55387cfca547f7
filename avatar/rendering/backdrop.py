"""What is behind the head."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from avatar.rendering.settings import Backdrop

_COLORS = {
    "white": "ffffff", "black": "000000", "gray": "808080", "grey": "808080", "red": "ff0000", "green": "00b140",
    "blue": "0047bb",
}  # fmt: skip
_TRANSPARENT = ("transparent", "alpha")


def parse_color(text: str) -> tuple[float, float, float]:
    """sRGB 0..1 of a color's name or #rrggbb; raises HeadsplatError."""
    color = _color(text)
    if color is None:
        raise HeadsplatError(f"--background: {text!r} is no color; give {_names()}, or #rrggbb")
    return color


def _color(text: str) -> tuple[float, float, float] | None:
    code = _COLORS.get(text, text.removeprefix("#") if text.startswith("#") else "")
    if not re.fullmatch(r"[0-9a-fA-F]{6}", code):
        return None
    red, green, blue = bytes.fromhex(code)
    return red / 255, green / 255, blue / 255


def _names() -> str:
    return ", ".join(name for name in _COLORS if name != "gray")


def parse_backdrop(text: str, width: int, height: int) -> Backdrop:
    """The background that `text` asks for: a color's name, #rrggbb, `transparent`, or a picture, scaled to cover.

    Raises:
        HeadsplatError: none of these, or a picture that cannot be read.
    """
    if text in _TRANSPARENT:
        return Backdrop(transparent=True)
    color = _color(text)
    if color is not None:
        return Backdrop(color)
    path = Path(text)
    if not path.is_file():
        raise HeadsplatError(
            f"--background: {text!r} is no color and no picture; give {_names()}, #rrggbb, transparent, or a picture "
            "file"
        )
    picture = read_image(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise HeadsplatError(f"--background: {path}: not a picture that can be read; give a PNG or JPEG file")
    return Backdrop(picture=covering(picture[..., ::-1], width, height))


def covering(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of a picture [h,w,3] uint8, scaled until it covers [height,width,3]; its shape is kept."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(np.ascontiguousarray(picture), size, interpolation=method)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
