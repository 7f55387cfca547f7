"""Box-constrained least squares compared with scipy's, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from avatar.motion.bounded_least_squares import BoxConstrainedSolver


@pytest.mark.parametrize("free", [0, 9, 20])
def test_solution_equals_scipys(free: int) -> None:
    random = np.random.default_rng(free)
    matrix = random.normal(size=(80, 20)) * np.linspace(0.1, 2, 20)
    right_sides = random.normal(size=(40, 80))
    lower, upper = np.zeros(20), np.ones(20)
    lower[:free], upper[:free] = -np.inf, np.inf
    found = BoxConstrainedSolver(matrix.T @ matrix, lower, upper)(right_sides @ matrix)
    expected = [lsq_linear(matrix, row, (lower, upper), tol=1e-12).x for row in right_sides]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nearly_dependent_columns_converge_to_the_minimum() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(60, 1)) + 0.03 * random.normal(size=(60, 30))
    right_sides = random.normal(size=(300, 60)) + 8 * matrix[:, :1].T
    hessian, targets = matrix.T @ matrix + 1e-6 * np.eye(30), right_sides @ matrix
    found = BoxConstrainedSolver(hessian, np.zeros(30), np.ones(30))(targets)
    gradient = found @ hessian - targets
    wrong = np.where(found <= 0, np.minimum(gradient, 0), np.where(found >= 1, np.maximum(gradient, 0), gradient))
    assert np.abs(wrong).max() < 1e-6 * np.abs(targets).max()


def test_no_frames_give_no_frames() -> None:
    assert BoxConstrainedSolver(np.eye(3), np.zeros(3), np.ones(3))(np.zeros((0, 3))).shape == (0, 3)
