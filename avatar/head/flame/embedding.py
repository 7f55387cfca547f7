"""MediaPipe's landmarks on a head nobody has marked: pictures of it, a landmark detector, and the way back to the mesh.

The detector sees the head from about thirty sides, with the mouth shut and ajar (so that the lips' inner edges part);
each landmark's ray hits the mesh, and the median of a landmark's hits is put back onto the surface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from avatar.head.generate import base
from avatar.head.generate.indices import FACE_POINTS, LIP_LOWER, LIP_UPPER
from avatar.head.generate.mesh import MIRROR
from avatar.head.model import HeadModel
from avatar.head.shading import shade, vertex_normals
from avatar.head.sheets import View, rasterized
from avatar.types import JAW

from .bare import Anatomy, Eyeball
from .lips import LipLine, both_sides, landmark_groups
from .openings import Opening, to_angles
from .surface import Floats, Mask, Places, nearest

#: takes an image [1,192,192,3] float32 RGB 0..1, gives points [478,3] in its pixels (x right, y down, z away) and how
#: sure it is that there is a face, 0..1
Detector = Callable[[NDArray[np.float32]], "tuple[NDArray[np.float32], float]"]

POINTS = 478
SIZE = 192
_BACKGROUND = 0.28
_RASTER = 4 * SIZE
_YAWS, _PITCHES, _JAWS = (-40.0, -20.0, 0.0, 20.0, 40.0), (-14.0, 0.0, 14.0), (0.0, 0.22)
_CENTER, _EXTENT = (0.0, -0.032, -0.01), 0.26
_LEAST_PRESENCE = 0.5
_LEAST_FACING = 0.3  # cosine between surface and ray: grazing hits slide
_SIDE = 2.5  # cm off the middle from where a landmark has a side of its own
IRIS_RADIUS = 0.0059  # meters, adults' mean (Rufer et al. 2005)

#: lid edges from the outer to the inner corner; the left eye's are the mirror images
RIGHT_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133))
LEFT_LIDS = ((263, 466, 388, 387, 386, 385, 384, 398, 362), (263, 249, 390, 373, 374, 380, 381, 382, 362))


@dataclass(frozen=True)
class Seen:
    """Where one picture shows the landmarks on the neutral mesh."""

    points: Floats  # [468,3] meters, NaN where the ray meets nothing useful
    jaw: float  # radians that the jaw was open


def detected(head: HeadModel, body: Anatomy, detector: Detector) -> Floats | None:
    """Positions [468,3] of the face's landmarks near the surface, meters; None if the detector sees no face."""
    seen = list(_views(head, body, detector))
    if len(seen) < 6:
        return None
    points = np.full((FACE_POINTS, 3), np.nan)
    stacked = np.stack([view.points for view in seen])
    ajar = np.array([view.jaw > 0 for view in seen])
    inside = {int(index) for row in (*LIP_UPPER[2:], *LIP_LOWER[2:]) for index in both_sides(row)}  # part when ajar
    for landmark in range(FACE_POINTS):
        rows = stacked[ajar, landmark] if landmark in inside and ajar.any() else stacked[:, landmark]
        found = rows[np.isfinite(rows[:, 0])]
        points[landmark] = _geometric_median(found) if len(found) else np.nan
    return points


def _views(head: HeadModel, body: Anatomy, detector: Detector) -> Iterator[Seen]:
    for jaw in _JAWS:
        params = head.neutral_params()
        params.joint_rot[0, JAW, 0] = jaw
        posed = head.vertices(params)[0]
        for pitch in _PITCHES:
            for yaw in _YAWS:
                view = View(yaw=yaw, pitch=pitch, center=_CENTER, extent=_EXTENT, size=SIZE)
                picture = _picture(head, posed, view)
                marks, presence = detector(picture[None])
                if presence >= _LEAST_PRESENCE:
                    points = _back_projected(body, posed, view, np.asarray(marks, float)[:FACE_POINTS])
                    yield Seen(np.where(_turned_away(yaw)[:, None], np.nan, points), jaw)


def _picture(head: HeadModel, posed: torch.Tensor, view: View) -> NDArray[np.float32]:
    """What the detector sees, [SIZE,SIZE,3] RGB 0..1: lit, without the contact sheets' slow shadows in folds."""
    size = 2 * SIZE
    turned, face, bary = rasterized(head.faces, posed, view, size)
    hit = face[0] >= 0
    corners, shares = head.faces[face[0][hit].long()], bary[0][hit][..., None]
    normals = (vertex_normals(turned, head.faces)[corners] * shares).sum(1)
    colors = (head.colors[corners] * shares).sum(1)
    picture = torch.full((size, size, 3), _BACKGROUND)
    still = torch.zeros(len(colors), 1)
    picture[hit] = shade(colors, torch.nn.functional.normalize(normals, dim=-1), still + 1, still)
    return cv2.resize(picture.clamp(0, 1).numpy(), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _turned_away(yaw: float) -> Mask:
    """Landmarks [468] on the cheek that a view from the other side cannot see; the detector guesses them there."""
    across = base.load().points[:FACE_POINTS, 0] * np.sign(yaw)
    return (across > _SIDE) & (abs(yaw) > 10)


def _back_projected(body: Anatomy, posed: torch.Tensor, view: View, marks: Floats) -> Floats:
    """Points [N,3] of the neutral mesh under picture points [N,2 or more]; NaN for misses, grazing hits, eyeballs."""
    faces = torch.from_numpy(body.faces)
    turned, face, bary = rasterized(faces, posed, view, _RASTER)
    column, row = (np.floor(marks[:, axis] * (_RASTER / SIZE)).astype(int) for axis in (0, 1))
    inside = (column >= 0) & (column < _RASTER) & (row >= 0) & (row < _RASTER)
    column, row = np.clip(column, 0, _RASTER - 1), np.clip(row, 0, _RASTER - 1)
    hit = face[0].numpy()[row, column]
    corners = turned.double().numpy()[body.faces[hit]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    good = inside & (hit >= 0) & (facing > _LEAST_FACING) & body.skin[body.faces[hit, 0]]
    shares = bary[0].double().numpy()[row, column]
    points = (body.vertices[body.faces[hit]] * shares[..., None]).sum(1)
    return np.where(good[:, None], points, np.nan)


def _geometric_median(points: Floats) -> Floats:
    """The point [3] of least summed distance to `points` [N,3] (Weiszfeld)."""
    middle = np.median(points, axis=0)
    for _ in range(20):
        weight = 1 / np.maximum(np.linalg.norm(points - middle, axis=1), 1e-5)
        middle = (points * weight[:, None]).sum(0) / weight.sum()
    return middle


def placed(body: Anatomy, weights: Floats, points: Floats, openings: tuple[Opening, Opening], lips: LipLine) -> Places:
    """All 478 landmarks on the surface: lid and lip edges on the traced edges, irises on the eyeballs, others nearest.

    Args:
        body: the mesh.
        weights: [V,5] skin weights.
        points: [468,3] meters, NaN where nothing is known.
        openings: of the left and the right eye.
        lips: where they meet.
    """
    points = _evened(points)
    known = np.isfinite(points[:, 0])
    for opening, lids in zip(openings, (LEFT_LIDS, RIGHT_LIDS), strict=True):
        for is_upper, edge in zip((True, False), lids, strict=True):
            points[list(edge)] = _on_edge(opening, points[list(edge)], known[list(edge)], is_upper)
    points[~np.isfinite(points[:, 0])] = points[known].mean(0)
    for is_upper, row in ((True, LIP_UPPER[3]), (False, LIP_LOWER[3])):
        ids = both_sides(row)
        ids = ids[(points[ids, 0] > lips.upper[0, 0]) & (points[ids, 0] < lips.upper[-1, 0])]
        points[ids] = lips.at(points[ids, 0], is_upper)
    faces, bary = np.zeros(POINTS, np.int64), np.zeros((POINTS, 3))
    for own, allowed in landmark_groups(body, weights):
        found = nearest(points[own], body.vertices, body.faces, allowed)
        faces[own], bary[own] = found.faces, found.bary
    for first, ball in ((FACE_POINTS, body.right), (FACE_POINTS + 5, body.left)):
        iris = _iris(body, ball)
        faces[first : first + 5], bary[first : first + 5] = iris.faces, iris.bary
    return Places(faces, bary)


def _evened(points: Floats) -> Floats:
    """The mean of points [468,3] and their mirror images, which halves what the detector sees on one side only."""
    mirror = base.load().mirror[:FACE_POINTS]
    other = points[mirror] * MIRROR
    both = np.isfinite(points[:, :1]) & np.isfinite(other[:, :1])
    return np.where(both, (points + other) / 2, np.where(np.isfinite(points), points, other))


def _on_edge(opening: Opening, points: Floats, known: Mask, is_upper: bool) -> Floats:
    """Points [9,3] of a lid's edge from the outer to the inner corner, at the azimuths where they were seen.

    Those seen outside the opening (the corners and the tear duct's fold) stay where they were seen.
    """
    ends = opening.azimuth[[0, -1]]
    even = np.linspace(*(ends if opening.center[0] < 0 else ends[::-1]), len(points))
    azimuth = np.where(known, to_angles(points - opening.center)[0], even)
    outside = known & ((azimuth < ends[0]) | (azimuth > ends[1]))
    return np.where(outside[:, None], points, opening.edge_points(azimuth, is_upper))


def _iris(body: Anatomy, ball: Eyeball) -> Places:
    """The five iris landmarks: the pupil, then +x, +y, -x, -y on the iris's edge."""
    depth = np.sqrt(ball.radius**2 - IRIS_RADIUS**2)
    edge = [(IRIS_RADIUS, 0, depth), (0, IRIS_RADIUS, depth), (-IRIS_RADIUS, 0, depth), (0, -IRIS_RADIUS, depth)]
    own = np.zeros(len(body.vertices), bool)
    own[ball.vertices] = True
    faces = np.flatnonzero(own[body.faces].all(1))
    return nearest(ball.center + np.array([(0, 0, ball.radius), *edge]), body.vertices, body.faces, faces)
