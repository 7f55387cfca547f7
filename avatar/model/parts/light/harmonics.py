"""Light as spherical harmonics of degree 2: rotation, and the response of a surface.

Coefficients [9,3] are of radiance in linear light, in the order and with the signs of `avatar.reference.sh_basis`. The
response [9] of a surface, its transfer, gives the radiance that it reflects with albedo 1 as a dot product (Sloan,
Kautz and Snyder, Precomputed Radiance Transfer, 2002; Ramamoorthi and Hanrahan, An Efficient Representation for
Irradiance Environment Maps, 2001).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0
from avatar.reference.sh import sh_basis

TERMS = 9
#: What a surface of albedo 1 reflects of each band: the integral of cosine times harmonic over the integral of cosine.
BANDS = (1.0, 2 / 3, 2 / 3, 2 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 4)
_SAMPLES = 32


def sphere(count: int) -> Tensor:
    """Unit directions [count,3] spread evenly over the sphere (a Fibonacci lattice), float64."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    height = 1 - 2 * index / count
    turn = index * (math.pi * (3 - math.sqrt(5)))
    across = (1 - height * height).sqrt()
    return torch.stack([across * turn.cos(), height, across * turn.sin()], -1)


def open_transfer(normals: Tensor, softness: float = 0.0) -> Tensor:
    """Transfer [N,9] of surfaces with unit `normals` [N,3] that nothing shadows.

    Args:
        normals: [N,3].
        softness: 0 for a flat surface, 1 for one that is lit alike from everywhere, as deep hair nearly is.
    """
    keep = 1 - softness
    factors = normals.new_tensor(BANDS) * normals.new_tensor([1.0] + 3 * [keep] + 5 * [keep * keep])
    return sh_basis(normals, TERMS) * factors


def ambient(color: Tensor) -> Tensor:
    """Coefficients [9,3] of light of radiance `color` [3] from everywhere."""
    coefficients = color.new_zeros(TERMS, 3)
    coefficients[0] = color / SH_C0
    return coefficients


def directional(direction: Tensor, color: Tensor, spread: float = 0.0) -> Tensor:
    """Coefficients [9,3] of a light of irradiance pi `color`: a surface that faces it reflects `color`, about.

    Args:
        direction: [3] towards the light, of any length.
        color: [3] linear light.
        spread: 0 for a point, 1 for a whole sky: bands 1 and 2 fade as if smoothed.
    """
    unit = torch.nn.functional.normalize(direction, dim=-1)
    fade = unit.new_tensor([1.0] + 3 * [1 - 0.35 * spread] + 5 * [1 - 0.75 * spread])
    return math.pi * (sh_basis(unit[None], TERMS)[0] * fade)[:, None] * color


@lru_cache(maxsize=8)
def _fit(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Directions [S,3] and the matrix [9,S] from values there to coefficients, computed in float64."""
    directions = sphere(_SAMPLES)
    fit = torch.linalg.pinv(sh_basis(directions, TERMS))
    return directions.to(device, dtype), fit.to(device, dtype)


def rotate_light(coefficients: Tensor, rotation: Tensor) -> Tensor:
    """Coefficients [...,9,3] of n -> f(R^T n) for a `rotation` R [...,3,3] and f with `coefficients` [...,9,3]."""
    directions, fit = _fit(rotation.dtype, rotation.device)
    return (fit @ sh_basis(directions @ rotation, TERMS)) @ coefficients
