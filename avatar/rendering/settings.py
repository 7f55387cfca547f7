"""What pictures are asked for: size, passes, background; torch is not needed to say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.errors import HeadsplatError
from avatar.rendering.backends import Rasterizer
from avatar.rendering.passes import PASSES, Pass

LARGEST_SIDE, LARGEST_SUPERSAMPLE = 4096, 4


@dataclass(frozen=True)
class Backdrop:
    """What is behind the head: one color, a picture, or nothing."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)  # sRGB 0..1
    picture: np.ndarray | None = None  # [H,W,3] uint8 sRGB, of the size of what is drawn; in place of the color
    transparent: bool = False  # rgb pictures get straight alpha; the color is for passes that have none


@dataclass(frozen=True)
class Look:
    """Size and kind of the pictures of one avatar."""

    width: int  # pixels
    height: int
    supersample: int = 1  # drawn so many times larger and averaged
    backdrop: Backdrop = Backdrop()
    passes: tuple[Pass, ...] = ("rgb",)
    rasterizer: Rasterizer = "native"

    def __post_init__(self) -> None:
        if not (1 <= self.width <= LARGEST_SIDE and 1 <= self.height <= LARGEST_SIDE):
            raise HeadsplatError(
                f"--size: {self.width}x{self.height} cannot be drawn; give 1 to {LARGEST_SIDE} pixels a side"
            )
        if not 1 <= self.supersample <= LARGEST_SUPERSAMPLE:
            raise HeadsplatError(f"--supersample: expected 1 to {LARGEST_SUPERSAMPLE}, got {self.supersample}")
        if self.rasterizer == "gsplat" and "normals" in self.passes:
            raise HeadsplatError(
                "--passes: normals are drawn by our own rasterizer only; leave --rasterizer gsplat out"
            )


def parse_passes(text: str) -> tuple[Pass, ...]:
    """The passes that `text` names, such as `rgb,depth`; raises HeadsplatError."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PASSES:
            raise HeadsplatError(f"--passes: {name!r} is none; give some of {', '.join(PASSES)}, with commas between")
    if len(set(names)) < len(names):
        raise HeadsplatError(f"--passes: {text!r} names a pass twice; name each once")
    return tuple(name for name in PASSES if name in names)
