"""Similarity transform between two point sets, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_similarity(source: Floats, target: Floats, weights: Floats | None = None) -> tuple[Floats, float]:
    """Rotation [3,3] and scale of the similarity transform from `source` [N,3] to `target` [N,3] (Umeyama 1991).

    Args:
        source: points.
        target: where each of them goes.
        weights: [N] of each pair; None: all equal.
    """
    a = source - np.average(source, axis=0, weights=weights)
    b = target - np.average(target, axis=0, weights=weights)
    weighted = a if weights is None else a * weights[:, None]
    u, sigma, vt = np.linalg.svd(b.T @ weighted)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((sigma * sign).sum() / (a * weighted).sum())
