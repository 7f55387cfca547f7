"""What is rendered of an avatar, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from avatar.errors import HeadsplatError
from avatar.model.parts.light.relight import Relighting

ViewKind = Literal["rgb", "alpha", "depth", "mesh", "binding"]
VIEW_KINDS: tuple[ViewKind, ...] = get_args(ViewKind)
MIN_SPLAT_SCALE = 0.05
MAX_SPLAT_SCALE = 2.0
MAX_SH_DEGREE = 3


@dataclass(frozen=True)
class ViewSettings:
    """Kind of image and debug settings; the defaults are what the offline renderer produces.

    Raises:
        HeadsplatError: a value out of range; the message gives the range.
    """

    kind: ViewKind = "rgb"
    mesh_overlay: float = 0.0  # 0..1, opacity of the tracked mesh over the image
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)  # sRGB 0..1
    splat_scale: float = 1.0
    sh_degree: int | None = None  # at most; None: the avatar's
    count: int | None = None  # Gaussians rendered; None: all
    relighting: Relighting | None = None  # another light than that of the clip

    def __post_init__(self) -> None:
        if self.kind not in VIEW_KINDS:
            raise HeadsplatError(f"kind: unknown kind of image {self.kind!r}; give one of {', '.join(VIEW_KINDS)}")
        _check_range("mesh_overlay", self.mesh_overlay, 0, 1)
        if len(self.background) != 3:
            raise HeadsplatError(f"background: expected red, green and blue, got {len(self.background)} values")
        for value in self.background:
            _check_range("background", value, 0, 1)
        _check_range("splat_scale", self.splat_scale, MIN_SPLAT_SCALE, MAX_SPLAT_SCALE)
        if self.sh_degree is not None:
            _check_range("sh_degree", self.sh_degree, 0, MAX_SH_DEGREE)
        if self.count is not None:
            _check_range("count", self.count, 1, math.inf)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        expected = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise HeadsplatError(f"{name}: expected {expected}, got {value:g}")
