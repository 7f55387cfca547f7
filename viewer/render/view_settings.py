"""What is drawn of an avatar, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from avatar.errors import HeadsplatError

Kind = Literal["rgb", "alpha", "depth", "mesh", "binding"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SMALLEST_SCALE, LARGEST_SCALE = 0.05, 2.0  # of the splats
LARGEST_SH_DEGREE = 3


@dataclass(frozen=True)
class Look:
    """One picture's kind; the defaults are what the offline renderer draws.

    Raises:
        HeadsplatError: a value that cannot be drawn; the sentence says which, and what can.
    """

    kind: Kind = "rgb"
    mesh_overlay: float = 0.0  # 0..1, the tracked mesh laid over it
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)  # sRGB 0..1
    splat_scale: float = 1.0
    sh_degree: int | None = None  # at most; None: all there is
    count: int | None = None  # Gaussians drawn; None: all

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise HeadsplatError(f"kind: {self.kind!r} is no picture of an avatar; give one of {', '.join(KINDS)}")
        _check_range("mesh_overlay", self.mesh_overlay, 0, 1)
        if len(self.background) != 3:
            raise HeadsplatError(f"background: expected red, green and blue, got {len(self.background)} values")
        for value in self.background:
            _check_range("background", value, 0, 1)
        _check_range("splat_scale", self.splat_scale, SMALLEST_SCALE, LARGEST_SCALE)
        if self.sh_degree is not None:
            _check_range("sh_degree", self.sh_degree, 0, LARGEST_SH_DEGREE)
        if self.count is not None:
            _check_range("count", self.count, 1, math.inf)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        words = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
        raise HeadsplatError(f"{name}: {value:g} cannot be drawn; give {words}")
