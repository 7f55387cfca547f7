"""Texture coordinates for a head without a template.

The skin is one disc: the face inside its oval is a harmonic map with positive weights into a large convex outline
(Tutte 1963, Floater 1997); the rest is a harmonic map of the band between that outline and the neck's border.
Eyeballs are two hemispheres each; mouth interior, teeth and tongue are separate islands below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from avatar.head.anatomy.indices import NOSE_TIP, OVAL
from avatar.head.anatomy.mesh import clipped_cotangents, signed_areas

from .anatomy import Anatomy, Eyeball
from .surface import Floats, Ints, Mask, border_loops, edge_graph

_FACE_RADIUS = 0.62  # relative to the disc's radius; width over height
_FACE_WIDTH = 0.88
_SPREAD = 0.4  # exponent that spreads the harmonic heights, which are dense near the face
_RELAXATIONS = 200
_STRIP = 0.16  # height of the strip with the islands at the bottom of the unit square
_MARGIN = 0.004


@dataclass(frozen=True)
class Island:
    """One connected component of the texture."""

    flat: Floats  # [U,2] coordinates in any unit
    uv_faces: Ints  # [N,3] indices into flat
    faces: Ints  # [N] the head's faces


def skin_island(body: Anatomy, landmarks: Ints) -> Island:
    """The skin as a disc; `landmarks` [478] are the vertices nearest to the landmarks."""
    ids = body.skin_faces
    faces = body.faces[ids]
    used, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 3)
    vertices = body.vertices[used]
    local_index = {int(vertex): index for index, vertex in enumerate(used)}
    loops = sorted(border_loops(local), key=len)
    collar = min(loops, key=lambda loop: vertices[loop, 1].mean())
    holes = [loop for loop in loops if loop is not collar]
    oval = _closed_path(vertices, local, [local_index[int(landmarks[index])] for index in OVAL])
    closed, count = _fill_holes(local, holes, len(vertices))
    flat = None
    if oval is not None:
        flat = _face_and_band(vertices, closed, count, oval, collar, local_index[int(landmarks[NOSE_TIP])])
    if flat is None or signed_areas(flat, local).min() <= 0:
        flat = _disc(vertices, closed, count, collar)
    return Island(flat[: len(vertices)], local, ids)


def _fill_holes(faces: Ints, holes: Sequence[Ints], count: int) -> tuple[Ints, int]:
    """Faces with a triangle fan over each hole around a new vertex, and the new number of vertices."""
    fans = []
    for number, hole in enumerate(holes):
        fans.append(np.stack([np.roll(hole, -1), hole, np.full(len(hole), count + number)], -1))
    return np.vstack([faces, *fans]), count + len(holes)


def _closed_path(vertices: Floats, faces: Ints, stops: Sequence[int]) -> Ints | None:
    """A simple closed path along edges near the vertices `stops`; None if it intersects itself."""
    graph = edge_graph(vertices, faces)
    path: list[int] = []
    for start, end in zip(stops, [*stops[1:], stops[0]], strict=True):
        _, predecessors = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
        leg = []
        here = end
        while here != start and here >= 0:
            here = int(predecessors[here])
            leg.append(here)
        path += [vertex for vertex in leg[::-1] if vertex >= 0]
    simple = _without_spurs(path)
    return np.array(simple) if len(set(simple)) == len(simple) and len(simple) > 8 else None


def _without_spurs(path: Sequence[int]) -> list[int]:
    """The closed path without dead ends and small loops."""
    simple: list[int] = []
    for vertex in path:
        if vertex in simple and len(simple) - simple.index(vertex) < len(path) / 4:
            simple = simple[: simple.index(vertex)]
        simple.append(vertex)
    return simple


def _weights(vertices: Floats, faces: Ints, count: int) -> sparse.csr_matrix:
    """Positive edge weights [count,count]; edges at hole-filling vertices have weight 1."""
    real = (faces < len(vertices)).all(1)
    weights = clipped_cotangents(vertices, faces[real]).tolil()
    weights.resize((count, count))
    for a, b, c in faces[~real]:
        for end in (a, b):
            weights[end, c] = weights[c, end] = 1.0
    return weights.tocsr()


def _solve(weights: sparse.csr_matrix, fixed: Ints, values: Floats, free: Ints) -> Floats:
    """Solve for the free vertices at the weighted mean of their neighbors.

    Args:
        weights: [V,V] edge weights.
        fixed: [K] vertices with given values.
        values: [K,D] their values.
        free: [N] vertices to solve for.

    Returns:
        Values [N,D].
    """
    system = sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights
    return spsolve(system[free][:, free].tocsc(), weights[free][:, fixed] @ values).reshape(len(free), -1)


def _angles(vertices: Floats, loop: Ints) -> Floats:
    """Angles [N] (radians) along a loop in proportion to its length; pi/2 at the topmost vertex."""
    steps = np.linalg.norm(vertices[np.roll(loop, -1)] - vertices[loop], axis=1)
    run = np.concatenate([[0], np.cumsum(steps)[:-1]]) / steps.sum() * 2 * np.pi
    return run - run[vertices[loop, 1].argmax()] + np.pi / 2


def _disc(vertices: Floats, faces: Ints, count: int, collar: Ints) -> Floats:
    """Map the whole skin with the collar on a circle: never overlaps, but the face becomes small."""
    loop = collar
    angle = _angles(vertices, loop)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    free = np.setdiff1d(np.unique(faces), loop)
    flat = np.zeros((count, 2))
    flat[loop] = circle
    flat[free] = _solve(_weights(vertices, faces, count), loop, circle, free)
    return flat if signed_areas(flat, faces).sum() > 0 else flat * [-1, 1]


def _face_and_band(vertices: Floats, faces: Ints, count: int, oval: Ints, collar: Ints, nose: int) -> Floats | None:
    """Map the face inside the oval and the band around it.

    Args:
        vertices: [V,3] meters, without the hole-filling ones.
        faces: [F,3] with filled holes.
        count: number of vertices with the hole-filling ones.
        oval: [N] closed path around the face.
        collar: [M] boundary loop at the neck.
        nose: a vertex inside the face.

    Returns:
        Coordinates [count,2], or None where the path does not separate face and collar.
    """
    oval = _without_outer_triangles(faces, oval, nose)
    inner = _flood_fill(faces, oval, nose)
    band = ~inner
    if not band.any() or collar[0] not in faces[band] or collar[0] in faces[inner]:
        return None
    angle = _mean_angles(vertices, oval)
    outline = np.stack([np.cos(angle), np.sin(angle)], -1) * _FACE_RADIUS
    flat = np.zeros((count, 2))
    flat[oval] = outline
    weights = _weights(vertices, faces[inner], count)
    free = np.setdiff1d(np.unique(faces[inner]), oval)
    flat[free] = _solve(weights, oval, outline, free)
    flat = _band(vertices, faces[band], flat, oval, angle, collar)
    return flat * [_FACE_WIDTH, 1]


def _without_outer_triangles(faces: Ints, oval: Ints, nose: int) -> Ints:
    """The oval without corners at which an outer triangle has two of the oval's edges.

    Such a triangle would lie inside a convex outline; it becomes part of the face instead.
    """
    for _ in range(len(oval)):
        band = faces[~_flood_fill(faces, oval, nose)]
        on = np.isin(band, oval)
        position = {int(vertex): index for index, vertex in enumerate(oval)}
        corners = set()
        for face in band[on.all(1)].tolist():
            order = sorted(position[vertex] for vertex in face)
            for before, middle, after in (order, order[1:] + order[:1], order[2:] + order[:2]):
                if (middle - before) % len(oval) == 1 and (after - middle) % len(oval) == 1:
                    corners.add(middle)
        corners -= {corner + 1 for corner in corners}
        if not corners:
            break
        oval = np.delete(oval, sorted(corners))
    return oval


def _mean_angles(vertices: Floats, oval: Ints) -> Floats:
    """Angles [N] (radians) of the oval's vertices by arc length, oriented as in the front view (x to the right)."""
    angle = _angles(vertices, oval)
    x = vertices[oval, 0]
    return angle if (np.cos(angle) * x).sum() > 0 else np.pi - angle


def _flood_fill(faces: Ints, wall: Ints, seed: int) -> Mask:
    """Mask [F] of the faces connected to the vertex `seed` without crossing the closed path `wall`."""
    ends = np.stack([wall, np.roll(wall, -1)], -1)
    blocked = {(int(a), int(b)) for a, b in np.sort(ends, 1)}
    sides = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1), 2)
    owners: dict[tuple[int, int], list[int]] = {}
    for face, three in enumerate(sides.tolist()):
        for a, b in three:
            owners.setdefault((a, b), []).append(face)
    inside = np.zeros(len(faces), bool)
    stack = np.flatnonzero((faces == seed).any(1)).tolist()
    inside[stack] = True
    while stack:
        for a, b in sides[stack.pop()].tolist():
            if (a, b) not in blocked:
                for neighbor in owners[(a, b)]:
                    if not inside[neighbor]:
                        inside[neighbor] = True
                        stack.append(neighbor)
    return inside


def _band(vertices: Floats, faces: Ints, flat: Floats, oval: Ints, angle: Floats, collar: Ints) -> Floats:
    """Map the band between the oval and the collar to polar coordinates with harmonic height and angle.

    The angle is solved on the unrolled band: a right-hand side term accounts for edges across the cut at angle pi.

    Args:
        vertices: [V,3] meters.
        faces: [F,3] of the band.
        flat: [count,2] coordinates, valid inside the oval.
        oval: [N] inner boundary.
        angle: [N] radians of the oval's vertices.
        collar: [M] outer boundary.

    Returns:
        Coordinates [count,2], valid everywhere.
    """
    weights = _weights(vertices, faces, len(flat))
    border = np.concatenate([oval, collar])
    free = np.setdiff1d(np.unique(faces), border)
    fixed = np.concatenate([angle, _collar_angles(vertices, collar)])
    height = np.zeros(len(flat))
    height[collar] = 1
    height[free] = _solve(weights, border, height[border, None], free)[:, 0]
    directions = np.zeros((len(flat), 2))
    directions[border] = np.stack([np.cos(fixed), np.sin(fixed)], -1)
    directions[free] = _solve(weights, border, directions[border], free)
    around = np.arctan2(directions[:, 1], directions[:, 0])
    edges = sparse.coo_matrix(weights)
    windings = np.round((around[edges.row] - around[edges.col]) / (2 * np.pi))
    crossing = np.bincount(edges.row, edges.data * windings * 2 * np.pi, len(flat))
    system = (sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()
    known = weights[free][:, border] @ around[border] + crossing[free]
    around[free] = spsolve(system[free][:, free].tocsc(), known)
    radius = _FACE_RADIUS + (1 - _FACE_RADIUS) * np.clip(height, 0, 1) ** _SPREAD
    result = flat.copy()
    rest = np.concatenate([free, collar])
    result[rest] = np.stack([np.cos(around[rest]), np.sin(around[rest])], -1) * radius[rest, None]
    return _untangle(result, faces, free)


def _untangle(flat: Floats, faces: Ints, free: Ints) -> Floats:
    """Coordinates where vertices of the few inverted triangles have moved to the mean of their neighbors."""
    neighbors = sparse.coo_matrix(
        (np.ones(faces.size), (faces.ravel(), np.roll(faces, -1, 1).ravel())), (len(flat), len(flat))
    ).tocsr()
    neighbors = neighbors + neighbors.T
    movable = np.zeros(len(flat), bool)
    movable[free] = True
    for _ in range(_RELAXATIONS):
        inverted = faces[signed_areas(flat, faces) <= 0]
        if not len(inverted):
            break
        moving = np.unique(inverted)
        moving = moving[movable[moving]]
        rows = neighbors[moving]
        flat[moving] = (rows @ flat) / np.asarray(rows.sum(1))
    return flat


def _collar_angles(vertices: Floats, collar: Ints) -> Floats:
    """Angles [M] (radians) of the collar: its front lies below the chin, its back above the forehead."""
    middle = vertices[collar].mean(0)
    x = (vertices[collar] - middle)[:, 0]
    z = (vertices[collar] - middle)[:, 2]
    return np.arctan2(-z, x)


def eye_islands(body: Anatomy, ball: Eyeball) -> list[Island]:
    """The front and back hemisphere of an eyeball as two discs."""
    on_eyeball = np.zeros(len(body.vertices), bool)
    on_eyeball[ball.vertices] = True
    ids = np.flatnonzero(on_eyeball[body.faces].all(1))
    depth = body.vertices[body.faces[ids]].mean(1)[:, 2] - ball.center[2]
    islands = []
    for sign, chosen in ((1, ids[depth >= 0]), (-1, ids[depth < 0])):
        if not len(chosen):
            continue
        used, local = np.unique(body.faces[chosen], return_inverse=True)
        offset = (body.vertices[used] - ball.center) * [sign, 1, sign]
        angle = np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2])
        around = np.arctan2(offset[:, 1], offset[:, 0])
        flat = angle[:, None] * np.stack([np.cos(around), np.sin(around)], -1)
        islands.append(Island(flat, local.reshape(-1, 3), chosen))
    return islands


def pack_islands(skin: Island, islands: Sequence[Island], face_count: int) -> tuple[Floats, Ints]:
    """Coordinates [U,2] in 0..1 and faces [F,3]: the skin on top, all islands side by side below."""
    height = 1 - _STRIP
    flat = skin.flat / np.abs(skin.flat).max()
    coordinates = [(flat * 0.5 + 0.5) * [1, height - _MARGIN] + [0, _STRIP + _MARGIN]]
    for cell, island in enumerate(islands):
        size = np.array([1 / len(islands) - 2 * _MARGIN, _STRIP - 2 * _MARGIN])
        coordinates.append(in_box(island, size) + np.array([cell / len(islands) + _MARGIN, _MARGIN]))
    faces = np.zeros((face_count, 3), np.int64)
    start = 0
    for island, island_uv in zip([skin, *islands], coordinates, strict=True):
        faces[island.faces] = island.uv_faces + start
        start += len(island_uv)
    return np.clip(np.vstack(coordinates), 0, 1), faces


def in_box(island: Island, size: Floats) -> Floats:
    """The island's coordinates [U,2] stretched to a box of `size` [2] at the origin, mirrored if it is inverted."""
    flat = island.flat if signed_areas(island.flat, island.uv_faces).sum() > 0 else island.flat * [-1, 1]
    low = flat.min(0)
    high = flat.max(0)
    return (flat - low) / (high - low) * size
