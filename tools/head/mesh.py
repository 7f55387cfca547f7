"""Mesh construction by rings, exact mirror symmetry, fairing."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from avatar.head.anatomy.mesh import MIRROR, Floats, Ints, face_normals, uniform_laplacian
from avatar.head.subdivision import unique_edges


def rotation_x(degrees: float) -> Floats:
    """Rotation matrix [3,3] about +x, from y toward z."""
    cosine = np.cos(np.radians(degrees))
    sine = np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """Unit normals [V,3], faces weighted by area."""
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals(vertices, faces))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def bilaplacian(faces: Ints, count: int) -> sparse.csr_matrix:
    """The squared, degree-normalized uniform Laplacian [count,count] of thin-plate fairing."""
    laplacian = uniform_laplacian(faces, count)
    normalized = sparse.diags(1 / laplacian.diagonal()) @ laplacian
    return (normalized.T @ normalized).tocsr()


def mirror_map(vertices: Floats) -> Ints:
    """Index [V] of each vertex's mirror image in the plane x = 0; it must be an involution."""
    distance, mirror = cKDTree(vertices).query(vertices * MIRROR)
    assert distance.max() < 1e-6 and (mirror[mirror] == np.arange(len(vertices))).all(), "the mesh is not symmetric"
    return mirror.astype(np.int64)


def symmetrize(field: Floats, mirror: Ints, sign: float = 1.0) -> Floats:
    """The even (sign 1) or odd (sign -1) part of a vector field [V,3] under the mirror."""
    return (field + sign * (field * MIRROR)[mirror]) / 2


def orient(faces: Ints, first: int = 0) -> Ints:
    """Faces [F,3] with the winding of face `first`; the mesh must be connected and orientable."""
    faces = faces.copy()
    around = defaultdict(list)
    for index, face in enumerate(faces):
        for corner in range(3):
            around[frozenset((face[corner], face[corner - 1]))].append(index)
    seen = np.zeros(len(faces), bool)
    seen[first] = True
    queue = deque([first])
    while queue:
        face = faces[queue.popleft()]
        for corner in range(3):
            start = face[corner]
            end = face[(corner + 1) % 3]
            for neighbor in around[frozenset((start, end))]:
                if seen[neighbor]:
                    continue
                position = list(faces[neighbor]).index(start)
                if faces[neighbor][(position + 1) % 3] == end:
                    faces[neighbor] = faces[neighbor][::-1]
                seen[neighbor] = True
                queue.append(neighbor)
    assert seen.all(), "the mesh is not connected"
    return faces


class MeshBuilder:
    """A mesh that is extended ring by ring from a first patch."""

    def __init__(self, vertices: Floats, faces: Iterable[Sequence[int]]) -> None:
        self._vertices = [*np.asarray(vertices, float)]
        self._faces = [tuple(int(corner) for corner in face) for face in faces]

    def points(self, ids: Sequence[int]) -> Floats:
        """Positions [N,3] of the vertices `ids`."""
        return np.array([self._vertices[index] for index in ids])

    def add(self, points: Floats) -> list[int]:
        """Append vertices [N,3]; returns their ids."""
        first = len(self._vertices)
        self._vertices.extend(np.asarray(points, float))
        return list(range(first, first + len(points)))

    def bridge(self, inner: Sequence[int], outer: Sequence[int]) -> None:
        """Join two closed loops of equal length; diagonals are chosen by |x|, so that both sides are mirror images."""
        size = len(inner)
        for here in range(size):
            a = inner[here]
            b = inner[(here + 1) % size]
            c = outer[here]
            d = outer[(here + 1) % size]
            if abs(self._vertices[a][0]) < abs(self._vertices[b][0]) - 1e-9:
                self._faces += [(a, b, c), (b, d, c)]
            else:
                self._faces += [(a, b, d), (a, d, c)]

    def ring(self, inner: Sequence[int], points: Floats) -> list[int]:
        """Append a loop of vertices [N,3] bridged to the loop `inner`; returns its ids."""
        ids = self.add(points)
        self.bridge(inner, ids)
        return ids

    def cap(self, loop: Sequence[int], point: Floats) -> int:
        """Close a loop with a fan around a new vertex; returns its id."""
        (center,) = self.add(point[None])
        size = len(loop)
        self._faces += [(loop[here], loop[(here + 1) % size], center) for here in range(size)]
        return center

    def arrays(self) -> tuple[Floats, Ints]:
        """Vertices [V,3] and faces [F,3], as wound when added."""
        return np.array(self._vertices), np.array(self._faces, np.int64)


def unique_edges_lengths(vertices: Floats, faces: Ints) -> tuple[Ints, Floats]:
    """Undirected edges [E,2] and their lengths [E]."""
    edges, _ = unique_edges(faces)
    return edges, np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
