"""What is drawn of an avatar, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["rgb", "alpha", "depth", "mesh", "binding"]


@dataclass(frozen=True)
class Look:
    """One picture's kind; the defaults are what the offline renderer draws."""

    kind: Kind = "rgb"
    mesh_overlay: float = 0.0  # 0..1, the tracked mesh laid over it
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)  # sRGB 0..1
    splat_scale: float = 1.0
    sh_degree: int | None = None  # at most; None: all there is
    count: int | None = None  # Gaussians drawn; None: all
