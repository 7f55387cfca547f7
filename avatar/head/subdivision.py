"""One step of Loop subdivision as a sparse matrix (C. Loop, "Smooth subdivision surfaces based on triangles", 1987)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray


def unique_edges(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Undirected edges [E,2] of faces [F,3] in sorted order, and the edge index [F,3] of each side of each face.

    Side k of a face goes from corner k to corner k+1.
    """
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    low = sides.min(1)
    high = sides.max(1)
    span = int(high.max()) + 1
    keys, side_edge = np.unique(low * span + high, return_inverse=True)  # one number per edge sorts faster than a pair
    return np.stack([keys // span, keys % span], 1), side_edge.reshape(-1, 3)


def split_faces(faces: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Faces [4F,3] split at edge midpoints: edge e's midpoint is vertex `count + e`, children follow each other."""
    _, side_edge = unique_edges(faces)
    a, b, c = faces.T
    ab, bc, ca = (side_edge + count).T
    children = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.stack([np.stack(child, -1) for child in children], 1).reshape(-1, 3)


def midpoint_matrix(faces: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    """Matrix [count + E, count] that keeps the vertices and appends the midpoint of each edge."""
    edges, _ = unique_edges(faces)
    middle = sparse.coo_matrix(
        (np.full(edges.size, 0.5), (np.repeat(np.arange(len(edges)), 2), edges.ravel())), (len(edges), count)
    )
    return sparse.vstack([sparse.identity(count), middle]).tocsr()


def loop_matrix(faces: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    """Matrix [count + E, count] of one Loop step on a mesh with `count` vertices, boundaries included.

    The first `count` rows smooth the old vertices, the rest add one vertex per edge, in the order of
    `unique_edges`; the faces that go with it are `split_faces(faces, count)`.
    """
    edges, side_edge = unique_edges(faces)
    uses = np.bincount(side_edge.ravel(), minlength=len(edges))
    inner = uses == 2
    ends = sparse.coo_matrix(
        (np.repeat(np.where(inner, 3 / 8, 1 / 2), 2), (np.repeat(np.arange(len(edges)), 2), edges.ravel())),
        (len(edges), count),
    )
    side = side_edge.ravel()
    opposite = np.roll(faces, 1, axis=1).ravel()
    across = sparse.coo_matrix((np.where(inner[side], 1 / 8, 0.0), (side, opposite)), (len(edges), count))
    return sparse.vstack([_old_vertices(edges, ~inner, count), ends + across]).tocsr()


def _old_vertices(edges: NDArray[np.int64], on_border: NDArray[np.bool_], count: int) -> sparse.csr_matrix:
    """Rows [count, count] that smooth the old vertices: Loop's weights inside, the cubic B-spline on the boundary."""
    both = np.vstack([edges, edges[:, ::-1]])
    border_edge = np.concatenate([on_border, on_border])
    border = np.zeros(count, bool)
    border[edges[on_border].ravel()] = True
    valence = np.bincount(both[:, 0], minlength=count)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    weight = np.where(border[both[:, 0]], np.where(border_edge, 1 / 8, 0.0), beta[both[:, 0]])
    neighbors = sparse.coo_matrix((weight, (both[:, 0], both[:, 1])), (count, count))
    diagonal = np.where(border, 3 / 4, 1 - valence * beta)
    return (neighbors + sparse.diags(diagonal)).tocsr()
