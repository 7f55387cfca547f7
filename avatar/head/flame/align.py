"""Landmarks without a detector: our own mean face laid onto the mesh, first as a whole, then bending."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from avatar.head.generate import base
from avatar.head.generate.base import similarity
from avatar.head.generate.indices import FACE_POINTS
from avatar.head.generate.mesh import uniform_laplacian

from .bare import Anatomy
from .embedding import LEFT_LIDS, RIGHT_LIDS
from .lips import LIP_MIDDLES, LipLine, landmark_groups
from .openings import Opening
from .surface import Floats, Ints, nearest

_RIGID_STEPS, _STIFFNESS = 15, (30.0, 15.0, 8.0, 4.0, 2.0, 1.0, 1.0)
_FIRM = 10.0  # how much more than a surface point a lid's point counts


def aligned(body: Anatomy, weights: Floats, openings: tuple[Opening, Opening], lips: LipLine) -> Floats:
    """Positions [468,3] of the face's landmarks near the surface, meters.

    Args:
        body: the mesh.
        weights: [V,5] skin weights; they tell the lower lip from the upper.
        openings: of the left and the right eye.
        lips: where they meet.
    """
    mean = base.load()
    points = mean.points[:FACE_POINTS] / 100
    lids, places = _lid_targets(openings)
    source = np.vstack([points[lids], points[list(LIP_MIDDLES)].mean(0, keepdims=True)])
    points = _like(points, source, np.vstack([places, lips.middle]))
    faces = landmark_groups(body, weights)
    for _ in range(_RIGID_STEPS):
        target = _targets(body, points, faces)
        target[lids] = places
        points = similarity(points, target)
    laplacian = uniform_laplacian(mean.triangles, FACE_POINTS)
    firm = np.ones(FACE_POINTS)
    firm[lids] = _FIRM
    for stiffness in _STIFFNESS:
        target = _targets(body, points, faces)
        target[lids] = places
        system = (sparse.diags(firm) + stiffness * (laplacian.T @ laplacian) / 36).tocsc()
        points = points + splu(system).solve(firm[:, None] * (target - points))
    return points


def _like(points: Floats, source: Floats, target: Floats) -> Floats:
    """Points [N,3] moved by the similarity that brings `source` onto `target`."""
    both = similarity(source, target)
    moved = np.linalg.lstsq(np.hstack([source, np.ones((len(source), 1))]), both, rcond=None)[0]
    return points @ moved[:3] + moved[3]


def _lid_targets(openings: tuple[Opening, Opening]) -> tuple[list[int], Floats]:
    """Lid landmarks and even places on the traced edges, corners left out."""
    ids: list[int] = []
    places = []
    for opening, lids in zip(openings, (LEFT_LIDS, RIGHT_LIDS), strict=True):
        ends = opening.azimuth[[0, -1]] if opening.center[0] < 0 else opening.azimuth[[-1, 0]]
        even = np.linspace(*ends, len(lids[0]))[1:-1]
        for is_upper, edge in zip((True, False), lids, strict=True):
            ids += edge[1:-1]
            places.append(opening.edge_points(even, is_upper))
    return ids, np.vstack(places)


def _targets(body: Anatomy, points: Floats, groups: list[tuple[Ints, Ints]]) -> Floats:
    """The place on the mesh nearest to each point [468,3]."""
    target = points.copy()
    for own, faces in groups:
        target[own] = nearest(points[own], body.vertices, body.faces, faces).points(body.vertices, body.faces)
    return target
