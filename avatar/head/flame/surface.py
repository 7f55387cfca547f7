"""Triangle mesh queries: connected components, boundary loops, closest points, distances along edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from avatar.head.subdivision import unique_edges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_CANDIDATES = 24  # triangles tested per point: those with the nearest centroids


def component_labels(faces: Ints, count: int) -> Ints:
    """Label [V] of the connected component of each vertex."""
    ones = np.ones(faces.size)
    graph = sparse.coo_matrix((ones, (faces.ravel(), np.roll(faces, -1, 1).ravel())), (count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def edge_graph(vertices: Floats, faces: Ints) -> sparse.csr_matrix:
    """Symmetric matrix [V,V] of edge lengths."""
    edges, _ = unique_edges(faces)
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) + 1e-9
    upper = sparse.coo_matrix((lengths, (edges[:, 0], edges[:, 1])), (len(vertices), len(vertices)))
    return (upper + upper.T).tocsr()


def distance_from(graph: sparse.csr_matrix, sources: Ints, limit: float = np.inf) -> Floats:
    """Distance [V] along edges from the nearest of `sources`; infinite beyond `limit`."""
    return dijkstra(graph, indices=sources, min_only=True, limit=limit)


def border_loops(faces: Ints) -> list[Ints]:
    """Closed boundary loops, each as vertices in the direction of its faces' sides."""
    sides = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    directed = {(int(a), int(b)) for a, b in sides}
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops = []
    while following:
        start, here = following.popitem()
        loop = [start]
        while here != start and here in following:
            loop.append(here)
            here = following.pop(here)
        if here == start:
            loops.append(np.array(loop, np.int64))
    return loops


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a mesh as faces and barycentric weights."""

    faces: Ints  # [N]
    bary: Floats  # [N,3] rows sum to 1

    def points(self, vertices: Floats, faces: Ints) -> Floats:
        """Positions [N,3] for vertices [V,3] and faces [F,3]."""
        return (vertices[faces[self.faces]] * self.bary[:, :, None]).sum(1)


def closest_points(points: Floats, vertices: Floats, faces: Ints, allowed: Ints) -> SurfacePoints:
    """The closest surface point to each query point.

    Args:
        points: [N,3] query points.
        vertices: [V,3], in the unit of `points`.
        faces: [F,3].
        allowed: [K] faces on which the result may lie.

    Returns:
        N points on the mesh.
    """
    corners = vertices[faces[allowed]]
    _, near = cKDTree(corners.mean(1)).query(points, k=min(_CANDIDATES, len(allowed)))
    near = near.reshape(len(points), -1)
    bary = closest_barycentrics(points[:, None], corners[near])
    candidates = (corners[near] * bary[..., None]).sum(-2)
    best = np.linalg.norm(candidates - points[:, None], axis=-1).argmin(1)
    rows = np.arange(len(points))
    return SurfacePoints(allowed[near[rows, best]], bary[rows, best])


def closest_barycentrics(points: Floats, corners: Floats) -> Floats:
    """Barycentric weights [...,3] of the points of triangles [...,3,3] closest to `points` [...,3].

    The projection onto the plane where it is inside the triangle, else the closest projection onto the three sides.
    """
    a, b, c = (corners[..., corner, :] for corner in range(3))
    u = b - a
    v = c - a
    w = points - a
    uu = (u * u).sum(-1)
    uv = (u * v).sum(-1)
    vv = (v * v).sum(-1)
    wu = (w * u).sum(-1)
    wv = (w * v).sum(-1)
    det = np.maximum(uu * vv - uv * uv, 1e-30)
    second = (vv * wu - uv * wv) / det
    third = (uu * wv - uv * wu) / det
    flat = np.stack([1 - second - third, second, third], -1)
    choices = [flat]
    for one in range(3):
        two = (one + 1) % 3
        start = corners[..., one, :]
        along = corners[..., two, :] - corners[..., one, :]
        part = ((points - start) * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-30)
        part = np.clip(part, 0, 1)
        side = np.zeros_like(flat)
        side[..., one] = 1 - part
        side[..., two] = part
        choices.append(side)
    stacked = np.stack(choices)
    offset = np.linalg.norm((stacked[..., None] * corners).sum(-2) - points, axis=-1)
    offset[0][(flat < 0).any(-1)] = np.inf
    best = offset.argmin(0)
    return np.take_along_axis(stacked, best[None, ..., None], 0)[0]
