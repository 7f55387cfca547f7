"""Rows of a joint regressor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def joint_regressor_weights(vertices: NDArray[np.floating], joint: NDArray[np.floating]) -> NDArray[np.float64]:
    """The minimum-norm weights [N] over `vertices` [N,3] that sum to 1 and whose weighted mean is `joint` [3]."""
    equations = np.vstack([vertices.T, np.ones(len(vertices))]).astype(np.float64)
    return equations.T @ np.linalg.solve(equations @ equations.T, np.append(joint, 1.0))
