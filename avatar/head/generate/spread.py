"""Moving a few handles of the cage and letting the rest follow (stage S8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from .mesh import Floats, Ints, bilaplacian, unique_edges_lengths

Row = tuple[int, int, float]  # a vertex is this share of the way from the first to the second landmark
Handles = dict[int, Floats]  # cage vertex -> displacement [3], cm
_SOFT = 0.02  # pull to rest at the reach's end, relative to the bilaplacian


class Spreader:
    """Fills displacement fields by bilaplacian fairing between handles, within a reach along the cage's edges.

    Vertices of inserted rows go along with the two landmarks they lie between: uniform fairing would lag there.
    """

    def __init__(self, vertices: Floats, faces: Ints, rows: Mapping[int, Row]) -> None:
        self._count = len(vertices)
        self._rows = rows
        self._stiffness = bilaplacian(faces, self._count)
        edges, lengths = unique_edges_lengths(vertices, faces)
        self._graph = sparse.coo_matrix((lengths, (edges[:, 0], edges[:, 1])), (self._count, self._count)).tocsr()

    def fill(self, handles: Mapping[int, Floats], reach: float, pins: Iterable[int] = ()) -> Floats:
        """Displacements [V,3]: the handles' own, faired within `reach` cm of them, zero beyond and at `pins`."""
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
        """A smooth scalar [V] that has the given `values`, reach unlimited."""
        ids = np.array(sorted(values))
        field = np.zeros((self._count, 1))
        field[ids, 0] = [values[index] for index in ids]
        free = np.ones(self._count, bool)
        free[ids] = False
        field[free] = self._solve(field, free, np.zeros(self._count)).reshape(-1, 1)
        self._follow(field, values)
        return field[:, 0]

    def _follow(self, field: Floats, handles: Mapping[int, object]) -> None:
        for row, (first, second, share) in self._rows.items():
            if row not in handles:
                field[row] = (1 - share) * field[first] + share * field[second]

    def _solve(self, field: Floats, free: np.ndarray, soft: Floats) -> Floats:
        matrix = (self._stiffness + sparse.diags(soft)).tocsr()[free]
        return spsolve(matrix[:, free].tocsc(), -(matrix[:, ~free] @ field[~free]))


#: how much of a contact vertex's motion the five sock rings behind it follow
SOCK_SHARES = (1.0, 0.8, 0.4, 0.1, 0.0)


def set_lip(
    handles: Handles,
    sock: Mapping[int, list[int]],
    vertex: int,
    move: Floats,
    shares: tuple[float, ...] = SOCK_SHARES,
) -> None:
    """Move a lip vertex; if it is on the contact line, the mouth's inside follows it."""
    handles[vertex] = move
    for ring, share in zip(sock.get(vertex, ()), shares, strict=False):
        handles[ring] = move * share
