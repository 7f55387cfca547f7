"""Where hair, beard and brows grow on a head, as smooth functions of places and landmarks; lengths are centimeters."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.floating]

#: Landmarks of the outline of the right and of the left brow: the lower edge, then the upper one.
BROWS = ((46, 53, 52, 65, 55, 107, 66, 105, 63, 70), (276, 283, 282, 295, 285, 336, 296, 334, 293, 300))


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, cubic between; `low` may be larger than `high`."""
    unit = np.clip((value - low) / (high - low), 0, 1)
    return (unit * unit * (3 - 2 * unit)).astype(np.float32)


def polyline_distance(points: Array, line: Array, limit: float) -> Array:
    """Distances [N] from `points` [N,3] to the polyline `line` [M,3]; at most `limit`."""
    steps = np.linspace(0, 1, 12, endpoint=False, dtype=np.float32)[:, None]
    dense = np.concatenate([a + steps * (b - a) for a, b in itertools.pairwise(line)] + [line[-1:]])
    distance, _ = cKDTree(dense).query(points, distance_upper_bound=limit)
    return np.minimum(distance, limit).astype(np.float32)


def brow_distance(points: Array, landmarks: Array, brow: tuple[int, ...]) -> Array:
    """Distances [N] from `points` [N,3] to the line through the middle of a brow of BROWS; at most 1 cm."""
    lower = landmarks[list(brow[:5])]
    upper = landmarks[list(brow[5:])][::-1]
    return polyline_distance(points, (lower + upper) / 2, 1.0)


def beard_cover(points: Array, landmarks: Array) -> Array:
    """Density [N] of a full beard at `points` [N,3]: 1 on chin, jaw and upper lip, smooth at the cheeks and neck.

    Lips are covered, too: leave them out by the head's region.
    """
    beard = smoothstep(landmarks[2, 1] - 0.1, landmarks[0, 1], points[:, 1]) * smoothstep(-17.0, -13.5, points[:, 1])
    beard *= smoothstep(-8.0, -5.0, points[:, 2])
    side = np.abs(points[:, 0])
    cheek_line = landmarks[61, 1] + 0.55 * np.clip(side - abs(landmarks[61, 0]) - 0.4, 0, None)
    beard *= np.where(side > abs(landmarks[61, 0]), smoothstep(0.9, -0.9, points[:, 1] - cheek_line), 1)
    return beard


def hair_cover(points: Array, landmarks: Array) -> Array:
    """Hair density [N] at `points` [N,3]: 1 on the scalp, 0 on the face, smooth at the hairline."""
    x, y, z = points.T
    side = np.abs(x)
    ear_z = landmarks[[234, 454], 2].mean()
    ear_y = landmarks[[234, 454], 1].mean()
    top = landmarks[10, 1]
    # The hairline crosses the forehead, recedes at the temples, and descends to the nape behind the ears.
    frontal = top + 0.45 - 0.045 * side**2 - 0.25 * smoothstep(2.0, 4.5, side)
    front = smoothstep(-0.35, 0.45, y - frontal) * smoothstep(7.6, 6.9, side)
    behind_temple = smoothstep(ear_z + 2.6, ear_z + 1.2, z + 0.12 * (y - 3.0)) * smoothstep(1.0, 1.9, y)
    sideburn = smoothstep(0.55, 0.1, np.abs(z - (ear_z + 0.9))) * smoothstep(ear_y - 1.0, ear_y + 0.4, y) * (side > 5)
    nape = smoothstep(ear_z - 2.8, ear_z - 3.6, z) * smoothstep(-7.6, -6.2, y)
    cover = np.maximum.reduce([front, behind_temple, nape, 0.6 * sideburn])
    return cover.astype(np.float32)
