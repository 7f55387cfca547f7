"""Solving the normal equations of a chain of frames: dense blocks on the diagonal, diagonal blocks one and two off it.

Block Cholesky (Golub and Van Loan, Matrix Computations, 4.5), one frame at a time, so that no product is large
enough for BLAS to start threads (see `linalg`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Chain:
    """The symmetric positive definite matrix of T frames with D unknowns each."""

    diagonal: np.ndarray  # [T,D,D]
    next: np.ndarray  # [T,D] diagonal of block (k+1, k); the last one is unused
    second: np.ndarray  # [T,D] diagonal of block (k+2, k); the last two are unused

    @staticmethod
    def zeros(count: int, size: int) -> Chain:
        """The zero matrix of `count` frames with `size` unknowns each."""
        return Chain(np.zeros((count, size, size)), np.zeros((count, size)), np.zeros((count, size)))

    def solve(self, right: np.ndarray) -> np.ndarray:
        """x [T,D] with matrix @ x = `right` [T,D]."""
        count, size = right.shape
        # Unknowns of very different units: scale every diagonal entry to 1 first.
        scale = 1.0 / np.sqrt(np.einsum("kii->ki", self.diagonal))
        pivots = self.diagonal * scale[:, :, None] * scale[:, None, :]
        second = np.zeros((count, size))
        second[:-2] = self.second[:-2] * scale[:-2] * scale[2:]
        coupling = np.zeros((count, size, size))  # block (k+1, k) of the partly eliminated matrix
        index = np.arange(size)
        coupling[:-1, index, index] = self.next[:-1] * scale[:-1] * scale[1:]
        factor = np.empty_like(pivots)  # inverse Cholesky factors: pivot^-1 = factor^T factor
        half = np.empty_like(pivots)  # factor @ coupling^T: symmetric updates, or rounding would grow along the chain
        half_second = np.empty_like(pivots)
        solution = right * scale
        for k in range(count):
            factor[k] = np.linalg.inv(np.linalg.cholesky(pivots[k]))
            half[k] = factor[k] @ coupling[k].T
            half_second[k] = factor[k] * second[k]
            solution[k] = factor[k] @ solution[k]
            if k + 1 < count:
                pivots[k + 1] -= half[k].T @ half[k]
                coupling[k + 1] -= half_second[k].T @ half[k]
                solution[k + 1] -= half[k].T @ solution[k]
            if k + 2 < count:
                pivots[k + 2] -= half_second[k].T @ half_second[k]
                solution[k + 2] -= half_second[k].T @ solution[k]
        for k in range(count - 1, -1, -1):
            if k + 2 < count:
                solution[k] -= half_second[k] @ solution[k + 2]
            if k + 1 < count:
                solution[k] -= half[k] @ solution[k + 1]
            solution[k] = factor[k].T @ solution[k]
        return solution * scale
