"""Interpolation of displacements from a few handles to the cage (stage S8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from avatar.head.anatomy.mesh import Floats, Ints

from .mesh import bilaplacian, unique_edges_lengths

Row = tuple[int, int, float]  # a vertex between two landmarks: first, second, position from 0 (first) to 1 (second)
Handles = dict[int, Floats]  # cage vertex -> displacement [3], cm
_SOFT = 0.02  # anchor weight to rest at the end of the reach, relative to the bilaplacian


class Spreader:
    """Interpolates displacement fields by bilaplacian fairing between handles, within a distance along the edges.

    Vertices of inserted rows are interpolated between their two landmarks: uniform fairing would move them too little.
    """

    def __init__(self, vertices: Floats, faces: Ints, rows: Mapping[int, Row]) -> None:
        self._count = len(vertices)
        self._rows = rows
        self._stiffness = bilaplacian(faces, self._count)
        edges, lengths = unique_edges_lengths(vertices, faces)
        self._graph = sparse.coo_matrix((lengths, (edges[:, 0], edges[:, 1])), (self._count, self._count)).tocsr()

    def fill(self, handles: Mapping[int, Floats], reach: float, pins: Iterable[int] = ()) -> Floats:
        """Displacements [V,3]: given at the handles, faired within `reach` cm of them, zero beyond and at `pins`."""
        ids = np.array(sorted(handles))
        distance = dijkstra(self._graph, directed=False, indices=ids, min_only=True)
        free = distance < reach
        free[list(pins)] = False
        free[ids] = False
        field = np.zeros((self._count, 3))
        field[ids] = [handles[index] for index in ids]
        if free.any():
            soft = _SOFT * np.where(free, distance / reach, 0) ** 2
            field[free] = self._solve(field, free, soft)
        self._follow(field, handles)
        return field

    def interpolate(self, values: Mapping[int, float]) -> Floats:
        """A smooth scalar field [V] with the given `values`, without a limit of distance."""
        ids = np.array(sorted(values))
        field = np.zeros((self._count, 1))
        field[ids, 0] = [values[index] for index in ids]
        free = np.ones(self._count, bool)
        free[ids] = False
        field[free] = self._solve(field, free, np.zeros(self._count)).reshape(-1, 1)
        self._follow(field, values)
        return field[:, 0]

    def _follow(self, field: Floats, handles: Mapping[int, object]) -> None:
        for row, (first, second, weight) in self._rows.items():
            if row not in handles:
                field[row] = (1 - weight) * field[first] + weight * field[second]

    def _solve(self, field: Floats, free: np.ndarray, soft: Floats) -> Floats:
        matrix = (self._stiffness + sparse.diags(soft)).tocsr()[free]
        return spsolve(matrix[:, free].tocsc(), -(matrix[:, ~free] @ field[~free]))


#: weights of a contact vertex's motion for the five sock rings behind it
SOCK_WEIGHTS = (1.0, 0.8, 0.4, 0.1, 0.0)


def set_lip(
    handles: Handles,
    sock: Mapping[int, list[int]],
    vertex: int,
    move: Floats,
    weights: tuple[float, ...] = SOCK_WEIGHTS,
) -> None:
    """Set the handle of a lip vertex; on the contact line also those of the mouth sock behind it.

    Args:
        handles: handles are set.
        sock: contact vertex -> its ring vertices.
        vertex: the lip vertex.
        move: [3] cm.
        weights: of the rings.
    """
    handles[vertex] = move
    for ring, weight in zip(sock.get(vertex, ()), weights, strict=False):
        handles[ring] = move * weight
