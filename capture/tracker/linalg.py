"""Products of tall matrices in blocks small enough that OpenBLAS does not start threads.

The solvers compute thousands of products of 0.1 ms each. On a machine with other load, waiting for spinning BLAS
threads was measured to make them twenty times slower.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: OpenBLAS uses one thread up to this number of multiplications in matrix x matrix and matrix x vector.
_MATRIX_LIMIT = 262_144
_VECTOR_LIMIT = 9_216


def gram(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left.T @ right` [A,B] of tall matrices [N,A] and [N,B]."""
    rows = _rows(len(left), left.shape[1] * right.shape[1], _MATRIX_LIMIT)
    a = left.reshape(-1, rows, left.shape[1])
    return np.matmul(np.swapaxes(a, 1, 2), right.reshape(-1, rows, right.shape[1])).sum(0)


def apply_transpose(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """`matrix.T @ vector` [A] of a tall matrix [N,A] and a vector [N]."""
    rows = _rows(len(matrix), matrix.shape[1], _VECTOR_LIMIT)
    blocks = matrix.reshape(-1, rows, matrix.shape[1])
    return np.matmul(vector.reshape(-1, 1, rows), blocks).sum((0, 1))


def apply(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """`matrix @ vector` [N] of a tall matrix [N,A] and a vector [A]."""
    rows = _rows(len(matrix), matrix.shape[1], _VECTOR_LIMIT)
    return np.matmul(matrix.reshape(-1, rows, matrix.shape[1]), vector).ravel()


def solve_halved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solution [N] of a positive definite system [N,N] of up to 200 unknowns, by elimination of its first half."""
    half = len(matrix) // 2
    if not half:  # the focal length of a known person
        return vector / matrix[0]
    first = np.linalg.solve(matrix[:half, :half], np.column_stack([matrix[:half, half:], vector[:half]]))
    cross = np.ascontiguousarray(matrix[:half, half:])
    schur = matrix[half:, half:] - gram(cross, first[:, :-1])
    second = np.linalg.solve(schur, vector[half:] - matrix[half:, :half] @ first[:, -1])
    return np.concatenate([first[:, -1] - first[:, :-1] @ second, second])


@lru_cache(maxsize=64)
def _rows(count: int, cost: int, limit: int) -> int:
    """Largest divisor of `count` rows whose product costs at most `limit`, at least 1."""
    most = max(1, limit // cost)
    return max(size for size in range(1, min(most, count) + 1) if count % size == 0)
