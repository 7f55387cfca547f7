"""Landmarks without a detector: headsplat's mean face fitted to the mesh, by a similarity, then non-rigidly."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from avatar.head.anatomy import base
from avatar.head.anatomy.base import similarity
from avatar.head.anatomy.indices import FACE_POINTS
from avatar.head.anatomy.mesh import uniform_laplacian

from .anatomy import Anatomy
from .detection import LEFT_LIDS, RIGHT_LIDS
from .lips import LIP_MIDDLES, LipLine, landmark_groups
from .openings import Opening
from .surface import Floats, Ints, closest_points

_RIGID_STEPS = 15
_STIFFNESS = (30.0, 15.0, 8.0, 4.0, 2.0, 1.0, 1.0)
_LID_WEIGHT = 10.0  # of a lid landmark, relative to other landmarks


def align_mean_face(body: Anatomy, weights: Floats, openings: tuple[Opening, Opening], lips: LipLine) -> Floats:
    """Positions [468,3] of the face's landmarks near the surface, meters.

    Args:
        body: the mesh.
        weights: [V,5] skin weights; they separate the lower lip from the upper.
        openings: left and right eye opening.
        lips: the line where the lips meet.
    """
    mean = base.load()
    points = mean.points[:FACE_POINTS] / 100
    lids, lid_points = _lid_targets(openings)
    source = np.vstack([points[lids], points[list(LIP_MIDDLES)].mean(0, keepdims=True)])
    points = _similarity_moved(points, source, np.vstack([lid_points, lips.middle]))
    faces = landmark_groups(body, weights)
    for _ in range(_RIGID_STEPS):
        target = _targets(body, points, faces)
        target[lids] = lid_points
        points = similarity(points, target)
    laplacian = uniform_laplacian(mean.triangles, FACE_POINTS)
    data_weight = np.ones(FACE_POINTS)
    data_weight[lids] = _LID_WEIGHT
    for stiffness in _STIFFNESS:
        target = _targets(body, points, faces)
        target[lids] = lid_points
        system = (sparse.diags(data_weight) + stiffness * (laplacian.T @ laplacian) / 36).tocsc()
        points = points + splu(system).solve(data_weight[:, None] * (target - points))
    return points


def _similarity_moved(points: Floats, source: Floats, target: Floats) -> Floats:
    """Points [N,3] moved by the similarity transform that fits `source` to `target`."""
    fitted = similarity(source, target)
    affine = np.linalg.lstsq(np.hstack([source, np.ones((len(source), 1))]), fitted, rcond=None)[0]
    return points @ affine[:3] + affine[3]


def _lid_targets(openings: tuple[Opening, Opening]) -> tuple[list[int], Floats]:
    """Lid landmarks and evenly spaced points [N,3] on the traced lid edges, without the corners."""
    ids: list[int] = []
    points = []
    for opening, lids in zip(openings, (LEFT_LIDS, RIGHT_LIDS), strict=True):
        first, last = opening.azimuth[[0, -1]] if opening.center[0] < 0 else opening.azimuth[[-1, 0]]
        even = np.linspace(float(first), float(last), len(lids[0]))[1:-1]
        for is_upper, edge in zip((True, False), lids, strict=True):
            ids += edge[1:-1]
            points.append(opening.edge_points(even, is_upper))
    return ids, np.vstack(points)


def _targets(body: Anatomy, points: Floats, groups: list[tuple[Ints, Ints]]) -> Floats:
    """The point on the mesh closest to each point [468,3]."""
    target = points.copy()
    for ids, faces in groups:
        closest = closest_points(points[ids], body.vertices, body.faces, faces)
        target[ids] = closest.points(body.vertices, body.faces)
    return target
