"""Settings of a rendering: size, passes, background, rasterizer. Importing this module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.errors import HeadsplatError
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.rendering.passes import PASSES, Pass

MAX_SIDE = 4096
MAX_SUPERSAMPLE = 4


@dataclass(frozen=True)
class Background:
    """Background of the rendered frames: one color, an image, or transparent."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)  # sRGB 0..1
    image: np.ndarray | None = None  # [H,W,3] uint8 sRGB, of the size of the rendered frame; replaces the color
    transparent: bool = False  # color passes have straight alpha


@dataclass(frozen=True)
class RenderSettings:
    """Size and passes of the rendered frames of one avatar."""

    width: int  # pixels
    height: int  # pixels
    supersample: int = 1  # rendered this many times larger per side, then averaged
    background: Background = Background()
    passes: tuple[Pass, ...] = ("rgb",)
    rasterizer: Rasterizer = "native"

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise HeadsplatError(
                f"--size: {self.width}x{self.height} cannot be rendered; give 1 to {MAX_SIDE} pixels a side"
            )
        if not 1 <= self.supersample <= MAX_SUPERSAMPLE:
            raise HeadsplatError(f"--supersample: expected 1 to {MAX_SUPERSAMPLE}, got {self.supersample}")
        if "normals" in self.passes and not backend_of(self.rasterizer).blends_features:
            raise HeadsplatError(
                f"--passes: normals are rendered by the native rasterizer only; leave --rasterizer {self.rasterizer} "
                "out"
            )


def parse_passes(text: str) -> tuple[Pass, ...]:
    """Parse comma-separated pass names such as `rgb,depth`; raises HeadsplatError for unknown or repeated names."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PASSES:
            raise HeadsplatError(
                f"--passes: {name!r} is not a pass; give some of {', '.join(PASSES)}, separated by commas"
            )
    if len(set(names)) < len(names):
        raise HeadsplatError(f"--passes: {text!r} contains a pass twice; name each once")
    return tuple(name for name in PASSES if name in names)
