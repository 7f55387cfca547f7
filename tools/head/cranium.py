"""Skull, neck and shoulders: rings on an implicit surface from the face's outline to the collar (stage S5)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import spsolve

from avatar.head.anatomy.indices import OVAL
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints, smoothstep

from .implicit import (
    both_sides,
    capsule,
    cast_rays,
    ellipsoid,
    evenly_spaced,
    project_to_level,
    resample_meridians,
    smooth_max,
    smooth_min,
)
from .mesh import MeshBuilder, bilaplacian

SKULL_RINGS = 15
_PIVOT = np.array([0, -13.3, -1.6])  # below the chin; the half-planes of the sweep rotate about the x axis through it
_RAY_START = (11.5, 9.0)  # cm from the pivot to where rays start, first and last half-plane
_LAYOUT_FADE = 0.5  # positions in the sweep where the outline's offset from the skull has faded out
_DEPTH_FADE = 0.2
_COUNT = len(OVAL)
_BUST_RINGS = 8
_BUST_MIDDLE = np.array([0, -24.5, -10.6])  # start of the rays to neck and shoulders, in the plane of the border
_BUST_ASPECT = (1.55, 1.0)  # the border's columns are distributed as on an ellipse of this shape


def _jaw(points: Floats) -> Floats:
    """The lower jaw: an ellipsoid cut below the line from chin to jaw corner."""
    body = ellipsoid(points, (0, -5.4, -4.6), (6.0, 6.2, 5.6))
    below = -0.90 * (points[..., 1] + 11.6) - 0.435 * points[..., 2]
    return smooth_max(body, below, 1.2)


def _neck(points: Floats) -> Floats:
    """The tilted neck, its two long muscles from behind the ears to the breastbone, the larynx."""
    sided = both_sides(points)
    distance = capsule(points, (0, -3, -9.0), (0, -25, -11.4), (4.7, 5.0), (0.90, 1, 1.14))
    muscle = capsule(sided, (4.9, -5.0, -10.0), (1.2, -20.0, -5.9), (1.0, 0.65))
    distance = smooth_min(distance, muscle, 1.6)
    larynx = capsule(points, (0, -14.2, -4.9), (0, -17.0, -5.9), (0.75, 0.6))
    return smooth_min(distance, larynx, 1.4)


def _shoulders(points: Floats) -> Floats:
    """Chest, shoulder muscles, trapezius slope, collar bones."""
    sided = both_sides(points)
    distance = ellipsoid(points, (0, -31.2, -10.4), (17.5, 12.3, 9.6), power=2.2)
    distance = smooth_min(distance, ellipsoid(sided, (14.6, -25.0, -11.0), (5.0, 4.9, 5.6)), 3.5)
    slope = capsule(sided, (1.6, -15.4, -12.6), (15.4, -21.6, -11.2), (1.9, 1.9))
    distance = smooth_min(distance, slope, 3.2)
    bone = capsule(sided, (1.7, -20.1, -5.2), (14.5, -20.4, -8.6), (0.55, 0.6))
    return smooth_min(distance, bone, 1.6)


def head_distance(points: Floats) -> Floats:
    """Approximate signed distance [...] of points [...,3] to the head's surface, cm, negative inside."""
    distance = smooth_min(
        ellipsoid(points, (0, 3.35, -7.6), (7.55, 9.1, 9.8), power=2.3),
        ellipsoid(points, (0, 0.5, -11.0), (6.7, 7.5, 6.7)),
        2.0,
    )
    distance = smooth_min(distance, _jaw(points), 2.0)
    floor = capsule(points, (0, -9.4, -2.4), (0, -11.6, -6.5), (2.2, 2.4))
    distance = smooth_min(distance, floor, 1.8)
    distance = smooth_min(distance, _neck(points), 1.5)
    return smooth_min(distance, _shoulders(points), 2.2)


def _surface(pitch: Floats, angle: Floats, start: float) -> Floats:
    """Points [N,3] where rays leave the head: in the half-plane at `pitch`, `start` cm from the pivot, `angle` to x."""
    radial = np.stack([np.zeros_like(pitch), np.cos(pitch), -np.sin(pitch)], -1)
    return cast_rays(
        head_distance, _PIVOT + start * radial, np.cos(angle)[:, None] * [1, 0, 0] + np.sin(angle)[:, None] * radial
    )


def _swept_rings(oval: Floats) -> Floats:
    """Points [rings,36,3] on the skull from the face's outline back to the nape, before even spacing."""
    offset = oval - _PIVOT
    pitch = np.arctan2(-offset[:, 2], offset[:, 1])
    angle = np.unwrap(np.arctan2(np.hypot(offset[:, 1], offset[:, 2]) - _RAY_START[0], oval[:, 0]))
    end_angle = np.unwrap(np.pi / 2 - np.arange(_COUNT) * 2 * np.pi / _COUNT)
    residual = oval - _surface(pitch, angle, _RAY_START[0])
    rings = []
    for step in np.arange(1, SKULL_RINGS + 1) / SKULL_RINGS:
        turn = float(smoothstep(0, 1, step))
        start = _RAY_START[0] * (1 - step) + _RAY_START[1] * step
        points = _surface(pitch * (1 - step) + np.pi / 2 * step, angle * (1 - turn) + end_angle * turn, start)
        rings.append(points + residual * (1 - smoothstep(0, _LAYOUT_FADE, step)))
    return np.array(rings)


def _skull_rings(oval: Floats) -> Floats:
    """Points [rings,36,3], evenly spaced; the outline's depth below the skull's surface fades out over the rings."""
    rings = evenly_spaced(oval, _swept_rings(oval))
    fraction = np.arange(1, SKULL_RINGS + 1) / SKULL_RINGS
    depth = head_distance(oval) * (1 - smoothstep(0, _DEPTH_FADE, fraction))[:, None]
    return evenly_spaced(oval, project_to_level(head_distance, rings, depth))


def _bust_rings(nape: Floats) -> Floats:
    """Points [rings,36,3] from the nape's ring over neck and shoulders to a horizontal border.

    Rays from the center of the border's plane are lowered from the nape's ring to that plane.
    """
    offset = nape - _BUST_MIDDLE
    climb = np.arctan2(offset[:, 1], np.hypot(offset[:, 0], offset[:, 2]))
    heading = np.unwrap(np.arctan2(-offset[:, 2], offset[:, 0]))
    even_angle = np.pi / 2 - np.arange(_COUNT) * 2 * np.pi / _COUNT
    spread = np.arctan2(np.sin(even_angle) * _BUST_ASPECT[1], np.cos(even_angle) * _BUST_ASPECT[0])
    goal = heading + (np.unwrap(spread) - heading + np.pi) % (2 * np.pi) - np.pi
    meridians = [nape]
    for step in np.arange(1, 49) / 48:
        up = climb * (1 - step)
        along = heading + (goal - heading) * smoothstep(0, 1, step)
        direction = np.stack([np.cos(up) * np.cos(along), np.sin(up), -np.cos(up) * np.sin(along)], -1)
        meridians.append(cast_rays(head_distance, np.tile(_BUST_MIDDLE, (_COUNT, 1)), direction))
    return resample_meridians(np.array(meridians), _BUST_RINGS)


def add_cranium(builder: MeshBuilder) -> list[list[int]]:
    """Add 15 rings of skull and eight of neck and shoulders to the face's outline; returns the rings."""
    reverse = np.r_[0, np.arange(_COUNT - 1, 0, -1)]
    oval = builder.points(OVAL)
    rings: list[list[int]] = []
    for points in _skull_rings(oval):
        symmetric = (points + (points * MIRROR)[reverse]) / 2
        rings.append(builder.ring(rings[-1] if rings else OVAL, symmetric))
    for points in _bust_rings(builder.points(rings[-1])):
        symmetric = (points + (points * MIRROR)[reverse]) / 2
        rings.append(builder.ring(rings[-1], symmetric))
    return rings


def fair(vertices: Floats, faces: Ints, rings: list[list[int]]) -> Floats:
    """Vertices [V,3] with skull and neck faired between the fixed face and collar, anchored to their surface.

    The anchor weight increases from the face's outline; it is smaller below the chin for a soft transition.
    """
    anchor = np.zeros(len(vertices))
    for number, ring in enumerate(rings):
        anchor[ring] = 0.1 + 2.0 * smoothstep(0, 3, number) if number < SKULL_RINGS else 0.4
        under_chin = [
            index
            for index in ring
            if vertices[index, 2] > -7 and vertices[index, 1] < -8.5 and vertices[index, 1] > -14
        ]
        anchor[under_chin] = 0.1
    free = np.zeros(len(vertices), bool)
    free[[index for ring in rings[:-1] for index in ring]] = True
    matrix = (bilaplacian(faces, len(vertices)) + sparse.diags(anchor)).tocsr()
    target = anchor[:, None] * vertices
    faired = vertices.copy()
    faired[free] = spsolve(matrix[free][:, free].tocsc(), target[free] - matrix[free][:, ~free] @ vertices[~free])
    return faired
