"""Block-banded normal equations of a sequence of frames with a prior on acceleration, and their solver.

The matrix has dense blocks on the diagonal and diagonal blocks on the first and second off-diagonals.
Block Cholesky (Golub and Van Loan, Matrix Computations, 4.5), one frame at a time, so that no product is large
enough for BLAS to start threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Time step that sigmas of second differences refer to, seconds.
REFERENCE_STEP = 1.0 / 30.0


@dataclass
class BlockBandedMatrix:
    """Symmetric positive definite block-banded matrix of T frames with D unknowns each."""

    diagonal: np.ndarray  # [T,D,D]
    next: np.ndarray  # [T,D] diagonal of block (k+1, k); the last row is unused
    second: np.ndarray  # [T,D] diagonal of block (k+2, k); the last two rows are unused

    @staticmethod
    def zeros(count: int, size: int) -> BlockBandedMatrix:
        """The zero matrix of `count` frames with `size` unknowns each."""
        return BlockBandedMatrix(np.zeros((count, size, size)), np.zeros((count, size)), np.zeros((count, size)))

    def add_acceleration(
        self, gradient: np.ndarray, residual: np.ndarray, time: np.ndarray, precision: np.ndarray
    ) -> None:
        """Add the prior on second differences to this matrix and to `gradient` [T,D].

        Args:
            gradient: [T,D], of half of the cost; changed in place.
            residual: second differences [T-2,D] with the coefficients of `difference_weights(time)`.
            time: [T] seconds.
            precision: inverse variances [D] of a second difference at even steps of REFERENCE_STEP.
        """
        coefficients, measure = difference_weights(time)
        weight = measure[:, None] * precision
        weighted = residual * weight
        count = len(coefficients)
        index = np.arange(len(precision))
        for row in range(3):
            gradient[row : row + count] += coefficients[:, row : row + 1] * weighted
            self.diagonal[row : row + count, index, index] += coefficients[:, row : row + 1] ** 2 * weight
        self.next[:count] += (coefficients[:, 0] * coefficients[:, 1])[:, None] * weight
        self.next[1 : count + 1] += (coefficients[:, 1] * coefficients[:, 2])[:, None] * weight
        self.second[:count] += (coefficients[:, 0] * coefficients[:, 2])[:, None] * weight

    def fix(self, gradient: np.ndarray, fixed: np.ndarray) -> None:
        """Force the step of the frames `fixed` [T] bool to zero and remove it from the equations of their neighbors."""
        gradient[fixed] = 0
        self.diagonal[fixed] = np.eye(gradient.shape[1])
        for distance, band in ((1, self.next), (2, self.second)):
            band[fixed] = 0
            band[:-distance][fixed[distance:]] = 0

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solve matrix @ x = `right` [T,D] for x [T,D]."""
        count, size = right.shape
        # The unknowns have very different units: scale every diagonal entry to 1 first.
        scale = 1.0 / np.sqrt(np.einsum("kii->ki", self.diagonal))
        pivots = self.diagonal * scale[:, :, None] * scale[:, None, :]
        second = np.zeros((count, size))
        second[:-2] = self.second[:-2] * scale[:-2] * scale[2:]
        coupling = np.zeros((count, size, size))  # block (k+1, k) of the partly eliminated matrix
        index = np.arange(size)
        coupling[:-1, index, index] = self.next[:-1] * scale[:-1] * scale[1:]
        factor = np.empty_like(pivots)  # inverse Cholesky factors: pivot^-1 = factor^T factor
        half = np.empty_like(pivots)  # factor @ coupling^T: symmetric updates keep rounding from growing with T
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


def difference_weights(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Second-difference coefficients for uneven time steps.

    Args:
        time: [T] seconds.

    Returns:
        Coefficients [T-2,3] of three neighbors, equal to (1,-2,1) at even steps of REFERENCE_STEP, and the weight
        [T-2] of each difference, so that the weighted sum approximates the integral over time for any steps.
    """
    steps = np.maximum(np.diff(time) / REFERENCE_STEP, 1e-3)
    before = steps[:-1]
    after = steps[1:]
    mean = 0.5 * (before + after)
    left = 1 / (before * mean)
    right = 1 / (after * mean)
    return np.stack([left, -(left + right), right], axis=1), mean
