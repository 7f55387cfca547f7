"""Smooth random fields in space, for the textures of skin, cloth and walls."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.floating]

_LATTICE = 32


class NoiseField:
    """Periodic value noise in 3D, deterministic for a seed on every machine."""

    def __init__(self, seed: int) -> None:
        lattice = np.random.default_rng(seed).standard_normal((_LATTICE,) * 3).astype(np.float32)
        padded = np.pad(lattice, (0, 1), mode="wrap")
        self._lattice = torch.from_numpy(padded)[None, None]

    def __call__(self, points: Array, size: float) -> Array:
        """Values [N] of about unit variance at `points` [N,3]; `size` is the cell size in the unit of the points."""
        unit = torch.from_numpy(np.ascontiguousarray(points, np.float32)).div(size).remainder_(_LATTICE)
        # A smoothstep inside each cell hides the creases of linear interpolation (Perlin 1985).
        inside = unit.frac()
        unit.sub_(inside).addcmul_(inside * inside, 3 - 2 * inside)
        grid = unit.mul_(2 / _LATTICE).sub_(1)[None, None, None]
        sampled = torch.nn.functional.grid_sample(self._lattice, grid, align_corners=True)
        return sampled.reshape(-1).numpy() * np.float32(1.6)

    def octaves(self, points: Array, size: float, count: int = 3) -> Array:
        """Sum [N] of `count` octaves, each with half the size and half the amplitude of the previous one."""
        total = np.zeros(len(points), np.float32)
        for octave in range(count):
            shift = np.float32(7.3 * octave * size)
            total += self(points + shift, size * 0.5**octave) * np.float32(0.5**octave)
        return total / np.float32(1.2)
