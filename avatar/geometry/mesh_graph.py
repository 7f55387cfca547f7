"""The graph of the edges of a mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def graph_laplacian(faces: NDArray[np.integer], rows: NDArray[np.integer], vertices: int) -> sparse.csr_matrix:
    """Laplacian [n,n] of the graph of the edges between the vertices `rows` [n], each edge with weight 1.

    Args:
        faces: [F,3] vertex indices of a mesh.
        rows: [n] distinct vertex indices.
        vertices: number of vertices of the mesh.
    """
    place = np.full(vertices, -1)
    place[rows] = np.arange(len(rows))
    edges = place[np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])]
    edges = edges[(edges >= 0).all(1)]
    joined = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(len(rows), len(rows))).tocsr()
    joined = ((joined + joined.T) > 0).astype(float)
    return (sparse.diags(np.asarray(joined.sum(1))[:, 0]) - joined).tocsr()
