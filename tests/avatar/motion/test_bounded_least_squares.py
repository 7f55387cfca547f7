"""Box-constrained least squares against scipy's, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from avatar.motion.bounded_least_squares import Boxed


@pytest.mark.parametrize("free", [0, 9, 20])
def test_solution_is_scipys(free: int) -> None:
    random = np.random.default_rng(free)
    matrix = random.normal(size=(80, 20)) * np.linspace(0.1, 2, 20)
    wanted = random.normal(size=(40, 80))
    lower, upper = np.zeros(20), np.ones(20)
    lower[:free], upper[:free] = -np.inf, np.inf
    found = Boxed(matrix.T @ matrix, lower, upper)(wanted @ matrix)
    expected = [lsq_linear(matrix, row, (lower, upper), tol=1e-12).x for row in wanted]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nearly_dependent_columns_still_end_at_the_minimum() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(60, 1)) + 0.03 * random.normal(size=(60, 30))
    wanted = random.normal(size=(300, 60)) + 8 * matrix[:, :1].T
    hessian, targets = matrix.T @ matrix + 1e-6 * np.eye(30), wanted @ matrix
    found = Boxed(hessian, np.zeros(30), np.ones(30))(targets)
    gradient = found @ hessian - targets
    wrong = np.where(found <= 0, np.minimum(gradient, 0), np.where(found >= 1, np.maximum(gradient, 0), gradient))
    assert np.abs(wrong).max() < 1e-6 * np.abs(targets).max()


def test_no_frames_give_no_frames() -> None:
    assert Boxed(np.eye(3), np.zeros(3), np.ones(3))(np.zeros((0, 3))).shape == (0, 3)
