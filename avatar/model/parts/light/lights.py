"""Lights to shine on an avatar: presets, and environment maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.common.radiance_image import read_radiance
from avatar.errors import HeadsplatError
from avatar.model.parts.light.harmonics import TERMS, ambient, directional, rotate_light
from avatar.reference.sh import sh_basis

_MAX_SIDE = 512  # columns of a map that are used: degree 2 is smooth
#: Largest difference of width from twice the height, relative: some maps lack a row.
_ASPECT = 0.02
_LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Lamp:
    """A light from one side."""

    direction: tuple[float, float, float]  # towards it: to the right of the image, up, to the camera
    color: tuple[float, float, float]  # that a white surface which faces it reflects, linear
    spread: float = 0.3  # 0: a point, 1: a sky


@dataclass(frozen=True)
class Preset:
    """Lamps and light from everywhere."""

    lamps: Sequence[Lamp]
    around: tuple[float, float, float]  # linear, from everywhere
    exposure: float = 1.0  # brightness of the face relative to that in the clip


@dataclass(frozen=True)
class Light:
    """Light around an avatar."""

    name: str
    coefficients: Tensor = field(compare=False)  # [9,3] linear, world axes, of any brightness
    exposure: float = 1.0

    def turned(self, degrees: float) -> Tensor:
        """The coefficients [9,3] turned about the vertical: light from the front comes from the right of the image."""
        angle = math.radians(degrees)
        cosine = math.cos(angle)
        sine = math.sin(angle)
        turn = torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
        return rotate_light(self.coefficients, turn)


def _window(side: float) -> Preset:
    lamps = (Lamp((0.95 * side, 0.3, 0.4), (1.5, 1.58, 1.7), 0.15), Lamp((-side, 0.1, 0.3), (0.08, 0.07, 0.06), 0.6))
    return Preset(lamps, (0.12, 0.115, 0.11))


PRESETS: dict[str, Preset] = {
    "studio": Preset(
        (
            Lamp((-0.55, 0.55, 0.75), (0.85, 0.83, 0.80)),
            Lamp((0.75, 0.15, 0.60), (0.28, 0.29, 0.31), 0.6),
            Lamp((0.50, 0.50, -0.75), (0.45, 0.45, 0.48)),
        ),
        (0.22, 0.22, 0.22),
    ),
    "window-left": _window(-1.0),
    "window-right": _window(1.0),
    "sunset": Preset(
        (Lamp((0.85, 0.10, 0.45), (1.60, 0.92, 0.46)), Lamp((-0.7, 0.5, 0.2), (0.12, 0.15, 0.22), 0.8)),
        (0.15, 0.145, 0.18),
        0.9,
    ),
    "overcast": Preset((Lamp((0.0, 1.0, 0.25), (0.70, 0.74, 0.80), 1.0),), (0.42, 0.44, 0.47)),
    "underlight": Preset((Lamp((0.0, -0.85, 0.55), (1.30, 1.18, 1.02), 0.15),), (0.10, 0.10, 0.12), 0.8),
    "rim": Preset(
        (
            Lamp((0.85, 0.35, -0.55), (2.20, 2.16, 2.10), 0.0),
            Lamp((-0.85, 0.35, -0.55), (1.80, 1.92, 2.15), 0.0),
            Lamp((0.0, 0.3, 1.0), (0.20, 0.20, 0.21), 0.5),
        ),
        (0.14, 0.14, 0.15),
        0.6,
    ),
    "white": Preset((), (1.0, 1.0, 1.0)),
}


def light_named(name: str) -> Light:
    """A preset, or the environment map in the file `name`.

    Raises:
        HeadsplatError: neither, or a map that cannot be used.
    """
    if name in PRESETS:
        preset = PRESETS[name]
        total = ambient(torch.tensor(preset.around))
        for lamp in preset.lamps:
            total = total + directional(torch.tensor(lamp.direction), torch.tensor(lamp.color), lamp.spread)
        return Light(name, total, preset.exposure)
    path = Path(name)
    if not path.suffix and not path.exists():
        raise HeadsplatError(f"--relight: expected {', '.join(PRESETS)} or an environment map, got {name!r}")
    return Light(path.name, read_environment(path))


def read_environment(path: Path) -> Tensor:
    """Coefficients [9,3] of the equirectangular map in a file: its middle is what the camera sees behind the person.

    Raises:
        HeadsplatError: it cannot be read, is not twice as wide as high, has a NaN, or no light.
    """
    image = read_radiance(path)
    height, width = image.shape[:2]
    if height < 2 or abs(width - 2 * height) > _ASPECT * width:
        raise HeadsplatError(
            f"{path}: an image of {width}x{height} pixels; an environment map is equirectangular, twice as wide as high"
        )
    if not np.isfinite(image).all():
        raise HeadsplatError(f"{path}: has values that are no numbers (NaN or infinity); save the map again")
    coefficients = project(np.maximum(image, 0))
    if float(coefficients[0] @ torch.tensor(_LUMA)) <= 1e-6:
        raise HeadsplatError(f"{path}: the map is black everywhere; give one with light")
    # Shadows and gains need some light in every channel.
    coefficients[0] = torch.maximum(coefficients[0], 0.02 * coefficients[0].max())
    return coefficients


def project(image: NDArray[np.floating]) -> Tensor:
    """Coefficients [9,3] of an equirectangular map [H,W,3] of linear light, by summing over its pixels."""
    step = max(1, image.shape[1] // _MAX_SIDE)
    rows = image.shape[0] // step
    columns = image.shape[1] // step
    small = image[: rows * step, : columns * step].reshape(rows, step, columns, step, 3).mean((1, 3), dtype=np.float64)
    polar = torch.pi * (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    turn = 2 * torch.pi * (torch.arange(columns, dtype=torch.float64) + 0.5) / columns - torch.pi
    across = polar.sin()[:, None]
    grid = torch.stack(
        [across * turn.sin(), polar.cos()[:, None].expand(rows, columns), -across * turn.cos()], -1
    )  # the middle of the map is at -z
    area = across * (torch.pi / rows) * (2 * torch.pi / columns)
    weighted = (sh_basis(grid, TERMS) * area[..., None]).reshape(-1, TERMS)
    return (weighted.T @ torch.from_numpy(small).reshape(-1, 3)).float()
