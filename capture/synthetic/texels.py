"""Texture samples per triangle: textures without UVs and seams."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Index = NDArray[np.int64]


class Samples(Protocol):
    """Places on a mesh at which a painter computes its texture."""

    def interpolate(self, values: Array) -> Array:
        """Values [N,C] at the samples of vertex values [V,C]."""


class TexelGrid:
    """`resolution` x `resolution` / 2 samples on every triangle, addressed by barycentric coordinates."""

    def __init__(self, faces: Index, resolution: int) -> None:
        """`faces` [F,3] of the textured mesh."""
        self.faces = faces
        self._resolution = resolution
        row, column = np.mgrid[:resolution, :resolution]
        used = row + column < resolution
        index = np.zeros((resolution, resolution), np.int64)
        index[used] = np.arange(used.sum())
        # A pixel on the long edge may round to a cell just outside the triangle: use the cell mirrored at the diagonal.
        flipped = index[np.clip(resolution - 1 - column, 0, None), np.clip(resolution - 1 - row, 0, None)]
        self._sample = np.where(used, index, flipped).ravel()
        first = (row[used] + 1 / 3) / resolution
        second = (column[used] + 1 / 3) / resolution
        self._bary = np.stack([first, second, 1 - first - second], 1).astype(np.float32)

    @property
    def per_face(self) -> int:
        """Samples on one triangle."""
        return len(self._bary)

    def interpolate(self, values: Array) -> Array:
        """Vertex values [V,C] interpolated to the samples [F*per_face,C]."""
        corners = values[self.faces].astype(np.float32)
        return np.einsum("kc,fcd->fkd", self._bary, corners, optimize=True).reshape(-1, values.shape[1])

    def rows(self, face: NDArray[np.int32], bary: Array) -> Index:
        """Sample rows [P] of pixels that show `face` [P] at `bary` [P,3]."""
        cell = np.clip((bary[:, :2] * self._resolution).astype(np.int64), 0, self._resolution - 1)
        return face.astype(np.int64) * self.per_face + self._sample[cell[:, 0] * self._resolution + cell[:, 1]]
