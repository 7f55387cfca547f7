"""Additional rows of vertices where landmarks are too sparse: the fold of the upper lid, the eyebrows (stage S3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse.linalg import splu

from avatar.head.anatomy.indices import BROW_LOWER, BROW_UPPER, CREASE_UPPER, FOREHEAD, LID_UPPER
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints
from avatar.head.subdivision import loop_matrix

from .lids import EYE_RADIUS
from .spread import Row

Folds = dict[int, Row]  # new vertex -> the two landmarks between which it lies

_LID_WEIGHTS = (0.46, 0.68)  # positions of the rows across the strip; the skin folds between them
_PLATFORM = 0.17  # cm over the eyeball, of the lower row
_OVERHANG = np.array([0, -0.08, 0.11])  # cm, offset of the upper row
_FADE = ((0, 0.12, 0.35, 0.65, 0.9, 1), (0, 0.35, 1, 1, 0.5, 0))  # of the fold, from the outer to the inner corner
_SMOOTHING = 6  # passes along the rows
_CONTROL_PASSES = 3
_BROW_STRIPS = ((BROW_LOWER, BROW_UPPER, (0.5,)), (BROW_UPPER, FOREHEAD, (0.3,)))


def add_rows(points: Floats, triangles: Ints, mirror: Ints, eye_center: Floats) -> tuple[Floats, Ints, Folds, Folds]:
    """Insert two rows in each upper lid, one in each brow and one above it.

    Args:
        points: landmarks [468,3] cm.
        triangles: [F,3] of the face.
        mirror: map [>=468] between the sides.
        eye_center: of the right eye, [3] cm.

    Returns:
        Vertices [468+N,3], triangles [G,3], the new vertices of the lids and those of the brows.
    """
    lids, points, triangles = _split_strip(points, triangles, mirror, (LID_UPPER, CREASE_UPPER, _LID_WEIGHTS))
    brows: Folds = {}
    for strip in _BROW_STRIPS:
        rows, points, triangles = _split_strip(points, triangles, mirror, strip)
        brows |= rows
    return place_folds(points, lids, eye_center), triangles, lids, brows


def place_folds(vertices: Floats, folds: Mapping[int, Row], eye_center: Floats) -> Floats:
    """Vertices [C,3] with the lids' rows placed between lid edge and the landmarks above, on both sides.

    Rows are smoothed along the strip, whose edges alternate between straight and diagonal.
    """
    result = vertices.copy()
    width = len(_LID_WEIGHTS)
    for ids, side in zip(_right_and_left(folds), (MIRROR**2, MIRROR), strict=True):
        parents = np.array([folds[index][:2] for index in ids])
        weights = np.array([folds[index][2] for index in ids])[:, None]
        straight = vertices[parents[:, 0]] * (1 - weights) + vertices[parents[:, 1]] * weights
        rows = (straight * side).reshape(-1, width, 3)
        for _ in range(_SMOOTHING):
            rows[1:-1] = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4
        fade = np.interp(np.linspace(0, 1, len(rows)), *_FADE)[:, None]
        offset = rows[:, 0] - eye_center
        wrapped = eye_center + offset * (EYE_RADIUS + _PLATFORM) / np.linalg.norm(offset, axis=1, keepdims=True)
        rows[:, 0] += fade * (wrapped - rows[:, 0])
        rows[:, 1] += fade * _OVERHANG
        result[ids] = rows.reshape(-1, 3) * side
    return result


def smoothed_folds(vertices: Floats, faces: Ints, folds: Mapping[int, Row]) -> Floats:
    """Vertices [C,3] with the lids' rows moved so that the control mesh of the surface is smooth there.

    A surface that interpolates smooth rows next to sparser landmarks would have ripples between them.
    """
    smoothed = vertices.copy()
    old = loop_matrix(faces, len(vertices))[: len(vertices)].tocsc()
    factor = splu(old)
    for _ in range(_CONTROL_PASSES):
        control = factor.solve(smoothed)
        for ids in _right_and_left(folds):
            rows = control[ids].reshape(-1, len(_LID_WEIGHTS), 3)
            rows[1:-1] = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4
            control[ids] = rows.reshape(-1, 3)
        moved = list(folds)
        smoothed[moved] = (old @ control)[moved]
    return smoothed


def _right_and_left(folds: Mapping[int, Row]) -> tuple[list[int], list[int]]:
    right = [index for index, (lid, _, _) in folds.items() if lid in LID_UPPER]
    return right, [index for index in folds if index not in right]


def _split_strip(
    points: Floats, triangles: Ints, mirror: Ints, strip: tuple[Sequence[int], Sequence[int], Sequence[float]]
) -> tuple[Folds, Floats, Ints]:
    """Insert vertices at the fractions `weights` of every edge from a lower to an upper landmark row, both sides."""
    lower, upper, weights = strip
    crossing = {
        (low, high) for face in triangles.tolist() for low in face for high in face if low in lower and high in upper
    }
    vertices = list(points)
    rows = {}
    folds: Folds = {}
    for low, high in sorted(crossing, key=lambda edge: lower.index(edge[0]) + upper.index(edge[1])):
        for ends in ((low, high), (int(mirror[low]), int(mirror[high]))):
            rows[ends] = list(range(len(vertices), len(vertices) + len(weights)))
            folds.update({index: (*ends, weight) for index, weight in zip(rows[ends], weights, strict=True)})
            vertices += [points[ends[0]] + (points[ends[1]] - points[ends[0]]) * weight for weight in weights]
    chains = rows | {(high, low): ids[::-1] for (low, high), ids in rows.items()}
    array = np.array(vertices)
    faces = [triangle for face in triangles.tolist() for triangle in _split(face, chains, array)]
    return folds, array, np.array(faces, np.int64)


def _split(face: Sequence[int], chains: dict[tuple[int, int], list[int]], points: Floats) -> Iterator[tuple[int, ...]]:
    """Triangles of a face with the same number of inserted vertices on none, one or two of its sides."""
    cut = [corner for corner in range(3) if (face[corner], face[(corner + 1) % 3]) in chains]
    if not cut:
        yield tuple(face)
        return
    if len(cut) == 1:
        start, end, tip = (face[(cut[0] + k) % 3] for k in range(3))
        chain = [start, *chains[start, end], end]
        yield from ((a, b, tip) for a, b in pairwise(chain))
        return
    apex_corner = cut[1] if (cut[0] + 1) % 3 == cut[1] else cut[0]
    apex, left, right = (face[(apex_corner + k) % 3] for k in range(3))
    first = [*chains[apex, left], left]
    second = [*chains[apex, right], right]
    yield apex, first[0], second[0]
    for a, b, c, d in zip(first[:-1], first[1:], second[:-1], second[1:], strict=True):
        if abs(points[a][0]) < abs(points[c][0]):
            yield from ((a, b, c), (c, b, d))
        else:
            yield from ((a, b, d), (a, d, c))
