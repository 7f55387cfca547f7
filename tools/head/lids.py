"""Eyeballs fitted behind the lids, and the skin behind each lid edge (stage S3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from avatar.head.anatomy.indices import (
    CREASE_LOWER,
    CREASE_LOWER_FAR,
    CREASE_UPPER,
    CREASE_UPPER_FAR,
    IRIS_RIGHT,
    LID_LOWER,
    LID_UPPER,
    MIDDLE_LIDS,
)
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints

from .mesh import MeshBuilder
from .spread import Handles, Row

EYE_RADIUS = 1.20  # cm
LID_CLEARANCE = 0.16  # of the lid edge over the eyeball
CLOSED_CLEARANCE = 0.15  # of the closure line
BAG_CLEARANCE = 0.12
BAG_SPREAD = (0.0, 0.28, 0.62)  # radians of the bag's rings behind the lid edge
LID_REACH = 1.6  # cm around the lids within which skin moves with them
FISSURE = 1.03  # cm, height of the neutral opening

#: the right lid edge as a loop: upper from the outer to the inner corner, back along the lower
LOOP = LID_UPPER + LID_LOWER[1:-1][::-1]


def fit_eye(points: Floats) -> Floats:
    """Center [3] of the right eyeball: behind the iris, at the depth where the middles of the lids just clear it."""
    lids = points[list(MIDDLE_LIDS)]
    center = points[IRIS_RIGHT] - [0, 0, 0.9]
    for _ in range(50):
        offset = lids - center
        distance = np.linalg.norm(offset, axis=1)
        center[2] += np.mean((distance - EYE_RADIUS - LID_CLEARANCE) * offset[:, 2] / distance)
    return center


def push_out(points: Floats, center: Floats, radius: float) -> Floats:
    """Points [N,3] moved radially to a distance of at least `radius` from `center`."""
    offset = points - center
    distance = np.linalg.norm(offset, axis=-1, keepdims=True)
    return center + offset * np.maximum(radius / distance, 1)


def slerp(start: Floats, end: Floats, center: Floats, part: float) -> Floats:
    """Spherical interpolation of points about `center`.

    Args:
        start: [3].
        end: [3].
        center: [3].
        part: 0 for `start`, 1 for `end`; values outside extrapolate the angle.

    Returns:
        [3].
    """
    first = start - center
    last = end - center
    near = np.linalg.norm(first)
    far = np.linalg.norm(last)
    first = first / near
    last = last / far
    angle = np.arccos(np.clip(first @ last, -1, 1))
    if angle < 1e-6:
        return start + (end - start) * part
    direction = (np.sin((1 - part) * angle) * first + np.sin(part * angle) * last) / np.sin(angle)
    return center + direction * (near + (far - near) * np.clip(part, 0, 1))


def _bag_ring(edge: Floats, center: Floats, spread: float) -> Floats:
    """A ring [N,3] on the sphere behind the lid edge, `spread` radians farther from the opening's center."""
    axis = edge.mean(0) - center
    axis /= np.linalg.norm(axis)
    direction = (edge - center) / np.linalg.norm(edge - center, axis=1, keepdims=True)
    away = direction - (direction @ axis)[:, None] * axis
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    angle = (np.arccos(np.clip(direction @ axis, -1, 1)) + spread)[:, None]
    return center + (EYE_RADIUS + BAG_CLEARANCE) * (np.cos(angle) * axis + np.sin(angle) * away)


def add_bags(builder: MeshBuilder, mirror: Ints, eye_center: Floats) -> dict[int, list[int]]:
    """Add three rings behind each lid edge; returns the ring vertices of each edge vertex, both eyes."""
    bags: dict[int, list[int]] = {}
    loops = {-1: list(LOOP), 1: [int(mirror[index]) for index in LOOP]}
    for side, loop in loops.items():
        center = eye_center if side < 0 else eye_center * MIRROR
        edge = builder.points(loop)
        rings: list[list[int]] = []
        for spread in BAG_SPREAD:
            rings.append(builder.ring(rings[-1] if rings else loop, _bag_ring(edge, center, spread)))
        bags.update({vertex: [ring[place] for ring in rings] for place, vertex in enumerate(loop)})
    return bags


@dataclass(frozen=True)
class LidTravel:
    """Travel of the lids toward the closure line (1: closed), and the weights of the skin rows next to them."""

    upper: float
    lower: float
    upper_rows: tuple[float, float] = (0.5, 0.12)
    lower_rows: tuple[float, float] = (0.5, 0.2)
    outer_rise: float = 0.0  # of the closure line's outer end, relative to the opening there


def follow_bags(
    handles: Handles, vertices: Floats, bags: Mapping[int, list[int]], center: Floats, edge: Iterable[int]
) -> None:
    """Add handles for the rings behind the lid-edge vertices, outside the eyeball.

    Args:
        handles: handles are added.
        vertices: [C,3] cm.
        bags: lid-edge vertex -> its ring vertices.
        center: [3] of the eyeball.
        edge: lid-edge vertices with handles.
    """
    for vertex in edge:
        for ring, weight in zip(bags[vertex], (1, 0.55, 0.05), strict=True):
            moved = vertices[ring] + handles[vertex] * weight
            handles[ring] = push_out(moved, center, EYE_RADIUS + BAG_CLEARANCE / 2) - vertices[ring]


def follow_folds(
    handles: Handles, vertices: Floats, folds: Mapping[int, Row], center: Floats, closed: float = 0.0
) -> None:
    """Add handles for the upper lid's rows from the edge below and the landmarks above, outside the cornea.

    Args:
        handles: handles are added.
        vertices: [C,3] cm.
        folds: the rows.
        center: [3] of the eyeball.
        closed: 0..1; a closed lid has no fold, its rows lie on the arc from edge to landmark.
    """
    for row, (edge, above, weight) in folds.items():
        if edge in handles and above in handles:
            low = vertices[edge] + handles[edge]
            high = vertices[above] + handles[above]
            carried = vertices[row] + (1 - weight) * handles[edge] + weight * handles[above]
            moved = (1 - closed) * carried + closed * slerp(low, high, center, weight)
            handles[row] = push_out(moved, center, EYE_RADIUS + LID_CLEARANCE) - vertices[row]


def lid_motion(
    vertices: Floats,
    bags: Mapping[int, list[int]],
    center: Floats,
    travel: LidTravel,
    folds: Mapping[int, Row] = MappingProxyType({}),
) -> Handles:
    """Handles that close the right eye's lids on arcs about the eyeball's center.

    The lids meet on a line at a fifth of the opening's height, higher toward the outer corner.

    Args:
        vertices: [C,3] cm.
        bags: lid-edge vertex -> its ring vertices.
        center: [3] of the eyeball.
        travel: of the lids.
        folds: rows of the upper lid.

    Returns:
        Displacement [3] by vertex.
    """
    handles: Handles = {LID_UPPER[0]: np.zeros(3), LID_UPPER[-1]: np.zeros(3)}
    for place, (upper, lower) in enumerate(zip(LID_UPPER[1:-1], LID_LOWER[1:-1], strict=True)):
        part = 0.2 + travel.outer_rise * max(3 - place, 0) / 3
        line = (1 - part) * vertices[lower] + part * vertices[upper]
        line = push_out(line, center, EYE_RADIUS + CLOSED_CLEARANCE)
        up = slerp(vertices[upper], line, center, travel.upper) - vertices[upper]
        down = slerp(vertices[lower], line, center, travel.lower) - vertices[lower]
        fold = np.array([0, 0, 0.05 * max(travel.upper, 0)])
        handles[upper] = up
        handles[lower] = down
        handles[CREASE_UPPER[place]] = up * travel.upper_rows[0] + fold
        handles[CREASE_UPPER_FAR[place]] = up * travel.upper_rows[1]
        handles[CREASE_LOWER[place]] = down * travel.lower_rows[0]
        handles[CREASE_LOWER_FAR[place]] = down * travel.lower_rows[1]
    follow_bags(handles, vertices, bags, center, LOOP)
    follow_folds(handles, vertices, folds, center, float(np.clip(travel.upper, 0, 1)))
    return handles
