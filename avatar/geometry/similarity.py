"""Similarity transform between two point sets, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_similarity(source: Floats, target: Floats) -> tuple[Floats, float]:
    """Rotation [3,3] and scale of the similarity transform from `source` [N,3] to `target` [N,3] (Umeyama 1991)."""
    a = source - source.mean(0)
    b = target - target.mean(0)
    u, sigma, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((sigma * sign).sum() / (a * a).sum())
