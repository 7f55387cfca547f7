"""Mesh construction by rings, exact mirror symmetry, Laplacians."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIRROR = np.array([-1.0, 1.0, 1.0])


def smoothstep(start: Floats | float, end: Floats | float, value: Floats | float) -> Floats:
    """Cubic step from 0 at `start` to 1 at `end`; `end` may be smaller than `start`."""
    part = np.clip((np.asarray(value, float) - start) / (end - start), 0, 1)
    return part * part * (3 - 2 * part)


def face_normals(vertices: Floats, faces: Ints) -> Floats:
    """Normals [F,3] of faces [F,3]; their length is twice the area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)


def signed_areas(flat: Floats, faces: Ints) -> Floats:
    """Signed areas [F] of flat triangles."""
    a, b, c = (flat[faces[:, corner]] for corner in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def uniform_laplacian(faces: Ints, count: int) -> sparse.csr_matrix:
    """Matrix [count,count], degree on the diagonal and -1 for each neighbor (doubled on inner edges)."""
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    both = np.vstack([sides, sides[:, ::-1]])
    adjacency = sparse.coo_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count)).tocsr()
    return sparse.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency


def clipped_cotangents(vertices: Floats, faces: Ints) -> sparse.csr_matrix:
    """Positive edge weights [V,V]: cotangents clipped to 0.05..5 (Pinkall and Polthier 1993)."""
    count = len(vertices)
    weights = sparse.csr_matrix((count, count))
    for corner in range(3):
        a = faces[:, corner]
        b = faces[:, (corner + 1) % 3]
        c = faces[:, (corner + 2) % 3]
        to_a = vertices[a] - vertices[c]
        to_b = vertices[b] - vertices[c]
        area = np.maximum(np.linalg.norm(np.cross(to_a, to_b), axis=1), 1e-9)
        cotangent = np.clip(0.5 * (to_a * to_b).sum(1) / area, 0.05, 5)
        weights = weights + sparse.coo_matrix((cotangent, (a, b)), (count, count))
    return (weights + weights.T).tocsr()


def grid_faces(rows: int, columns: int, closed: bool) -> Ints:
    """Two triangles per cell of a vertex grid, row by row; `closed` joins the last column to the first."""
    across = columns if closed else columns - 1
    row, column = np.mgrid[: rows - 1, :across]
    a = row * columns + column
    b = row * columns + (column + 1) % columns
    cells = [np.stack([a, a + columns, b], -1), np.stack([b, a + columns, b + columns], -1)]
    return np.stack(cells, 2).reshape(-1, 3)
