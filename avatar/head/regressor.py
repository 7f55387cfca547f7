"""Weights over vertices that place a joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def placing_weights(vertices: NDArray[np.floating], place: NDArray[np.floating]) -> NDArray[np.float64]:
    """The smallest weights [N] over `vertices` [N,3] that sum to 1 and whose mean is `place` [3]."""
    equations = np.vstack([vertices.T, np.ones(len(vertices))]).astype(np.float64)
    return equations.T @ np.linalg.solve(equations @ equations.T, np.append(place, 1.0))
