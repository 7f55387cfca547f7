"""The Laplacian of the edges of a mesh."""

from __future__ import annotations

import numpy as np

from avatar.geometry.mesh_graph import graph_laplacian

#: Two triangles with a common edge (1, 2), and one more at vertex 3.
FACES = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 5]])


def test_every_edge_counts_once() -> None:
    found = graph_laplacian(FACES, np.arange(6), 6).toarray()
    assert (found == found.T).all() and not found.sum(1).any()
    assert found.diagonal().tolist() == [2, 3, 3, 4, 2, 2]
    assert found[1, 2] == -1 and found[0, 3] == 0


def test_edges_to_other_vertices_are_left_out() -> None:
    found = graph_laplacian(FACES, np.array([3, 1, 0]), 6).toarray()
    assert found.tolist() == [[1, -1, 0], [-1, 2, -1], [0, -1, 1]]
