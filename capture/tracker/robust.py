"""Landmarks that no pose and expression explain: on a hand, a microphone or hair, or missing.

A missing landmark is NaN and has weight 0; what a fit excludes becomes missing for all that follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from avatar.geometry.similarity import fit_similarity

#: An outlier is farther from the fit than this many medians, and than this fraction of the inter-ocular distance: what
#: the head model cannot represent of a face is below that.
_MEDIANS = 4.0
_MIN_DISTANCE = 0.15
#: Fraction of the landmarks that the error of a fit is measured on at least, and that must be seen.
_MIN_KEPT = 0.7
_MIN_SEEN = 0.3
#: Repetitions of a fit without the outliers of the last one, at most; of the rotation's.
_ROUNDS = 6
_ROTATION_ROUNDS = 12
#: Landmarks that determine a rotation, and the fraction of them that must agree with it.
_MIN_POINTS = 4
_MIN_AGREEING = 0.75

Result = TypeVar("Result")


def inliers(distance: np.ndarray, floor: float = _MIN_DISTANCE) -> np.ndarray:
    """Mask [N] of the landmarks that a fit explains.

    Args:
        distance: of each landmark from the fit [N]; NaN where it is missing.
        floor: distance up to which no landmark is an outlier, by default a fraction of the inter-ocular distance.
    """
    seen = np.isfinite(distance)
    if not seen.any():
        return seen
    cutoff = max(floor, _MEDIANS * float(np.median(distance[seen])))
    return seen & (np.nan_to_num(distance, nan=np.inf) <= cutoff)


def without(points: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Landmarks [L,C] of which those that the mask `kept` [N], N <= L, leaves out are missing."""
    if kept.all():
        return points
    points = points.copy()
    points[: len(kept)][~kept] = np.nan
    return points


def trimmed_mean(distance: np.ndarray) -> float:
    """Mean distance of the inliers of `distance` [N], or of most landmarks: a part of them can fit a wrong pose.

    Infinite where most landmarks are missing.
    """
    seen = distance[np.isfinite(distance)]
    if len(seen) < _MIN_SEEN * len(distance):
        return np.inf
    count = max(int(inliers(seen).sum()), int(np.ceil(_MIN_KEPT * len(seen))))
    return float(np.sort(seen)[:count].mean())


def fit_without_outliers(
    fit: Callable[[np.ndarray], Result], distance: Callable[[Result], np.ndarray], points: np.ndarray
) -> tuple[Result, np.ndarray, np.ndarray]:
    """Fit landmarks, and again without those that the fit does not explain until these are the same.

    Every landmark is judged by every fit, so one that was left out comes back once a fit explains it.

    Args:
        fit: a fit to landmarks [L,3] of which some are missing.
        distance: of all landmarks from a fit, fractions of the inter-ocular distance [N], N <= L.
        points: landmarks [L,3].

    Returns:
        The last fit, its landmarks, and the distances of all landmarks from it.
    """
    kept: np.ndarray | None = None
    used = points
    for _ in range(_ROUNDS):
        result = fit(used)
        distances = distance(result)
        now = inliers(distances)
        if now.all() or (kept is not None and (now == kept).all()):
            break
        kept = now
        used = without(points, kept)
    return result, used, distances


def rotation_between(source: np.ndarray, target: np.ndarray, floor: float) -> np.ndarray:
    """Rotation [3,3] of the similarity transform from `source` [N,3] to `target` [N,3] without outliers.

    Args:
        source: no value is missing.
        target: NaN where it is missing.
        floor: distance up to which no point is an outlier, unit of `source`.

    Returns:
        NaN where too few points determine the rotation, or too few agree with it: then a majority may be outliers.
    """
    seen = np.isfinite(target).all(1)
    if seen.sum() < _MIN_POINTS:
        return np.full((3, 3), np.nan)
    weights = seen.astype(np.float64)
    target = np.where(seen[:, None], target, 0.0)
    for _ in range(_ROTATION_ROUNDS):
        rotation, scale = fit_similarity(source, target, weights)
        centered = target - np.average(target, axis=0, weights=weights)
        moved = (source - np.average(source, axis=0, weights=weights)) @ rotation.T
        distance = np.linalg.norm(centered / scale - moved, axis=1)
        agreeing = np.mean(distance[seen] <= floor)
        if agreeing == 1:
            break
        # Geman and McClure's weights: they go to zero with the fourth power of the distance.
        weights = seen / (1 + np.square(distance / max(floor, float(np.median(distance[seen]))))) ** 2
    return rotation if agreeing >= _MIN_AGREEING else np.full((3, 3), np.nan)
