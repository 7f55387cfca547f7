"""MediaPipe's landmarks on a mesh: a detector runs on rendered images, detections are projected back onto the mesh.

The head is rendered from 15 directions with the mouth shut and slightly open (so that the inner lip edges separate).
The ray of each detected landmark is intersected with the mesh, and the geometric median of a landmark's hits is moved
onto the surface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from avatar.head.anatomy import base
from avatar.head.anatomy.indices import FACE_POINTS, LIP_LOWER, LIP_UPPER
from avatar.head.anatomy.mesh import MIRROR
from avatar.head.model import HeadModel
from avatar.head.shading import shade, vertex_normals
from avatar.head.sheets import View, rasterize_view
from avatar.types import JAW

from .anatomy import Anatomy, Eyeball
from .lips import LipLine, both_sides, landmark_groups
from .openings import Opening, to_angles
from .surface import Floats, Mask, SurfacePoints, closest_points

#: maps an image [1,192,192,3] float32 RGB 0..1 to points [478,3] in its pixels (x right, y down, z away) and the
#: probability that it shows a face
Detector = Callable[[NDArray[np.float32]], "tuple[NDArray[np.float32], float]"]

POINTS = 478
SIZE = 192
_BACKGROUND = 0.28
_RASTER = 4 * SIZE
_YAWS = (-40.0, -20.0, 0.0, 20.0, 40.0)
_PITCHES = (-14.0, 0.0, 14.0)
_JAWS = (0.0, 0.22)
_CENTER = (0.0, -0.032, -0.01)
_EXTENT = 0.26
_MIN_PRESENCE = 0.5
_MIN_FACING = 0.3  # cosine between surface normal and ray: grazing hits are inaccurate
_SIDE = 2.5  # cm from the middle plane beyond which a landmark belongs to one side of the face
IRIS_RADIUS = 0.0059  # meters, adults' mean (Rufer et al. 2005)

#: lid edges from the outer to the inner corner; the left eye's are the mirror images
RIGHT_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133))
LEFT_LIDS = ((263, 466, 388, 387, 386, 385, 384, 398, 362), (263, 249, 390, 373, 374, 380, 381, 382, 362))


@dataclass(frozen=True)
class ViewDetection:
    """Landmarks detected in one image, projected back onto the neutral mesh."""

    points: Floats  # [468,3] meters, NaN where the ray has no usable hit
    jaw: float  # radians of jaw opening in this image


def detect_landmarks(head: HeadModel, body: Anatomy, detector: Detector) -> Floats | None:
    """Positions [468,3] of the face's landmarks near the surface, meters; None if the detector finds no face."""
    views = list(_views(head, body, detector))
    if len(views) < 6:
        return None
    points = np.full((FACE_POINTS, 3), np.nan)
    stacked = np.stack([view.points for view in views])
    is_open = np.array([view.jaw > 0 for view in views])
    # The inner lip edges are separate only in images with an open mouth.
    inner_lips = {int(index) for row in (*LIP_UPPER[2:], *LIP_LOWER[2:]) for index in both_sides(row)}
    for landmark in range(FACE_POINTS):
        rows = stacked[is_open, landmark] if landmark in inner_lips and is_open.any() else stacked[:, landmark]
        hits = rows[np.isfinite(rows[:, 0])]
        points[landmark] = _geometric_median(hits) if len(hits) else np.nan
    return points


def _views(head: HeadModel, body: Anatomy, detector: Detector) -> Iterator[ViewDetection]:
    for jaw in _JAWS:
        params = head.neutral_params()
        params.joint_rot[0, JAW, 0] = jaw
        posed = head.vertices(params)[0]
        for pitch in _PITCHES:
            for yaw in _YAWS:
                view = View(yaw=yaw, pitch=pitch, center=_CENTER, extent=_EXTENT, size=SIZE)
                landmarks, presence = detector(_render(head, posed, view)[None])
                if presence >= _MIN_PRESENCE:
                    points = _back_projected(body, posed, view, np.asarray(landmarks, float)[:FACE_POINTS])
                    yield ViewDetection(np.where(_turned_away(yaw)[:, None], np.nan, points), jaw)


def _render(head: HeadModel, posed: torch.Tensor, view: View) -> NDArray[np.float32]:
    """The detector's input image [SIZE,SIZE,3] RGB 0..1, shaded without ambient occlusion, which is slow."""
    size = 2 * SIZE
    turned, face, bary = rasterize_view(head.faces, posed, view, size)
    hit = face[0] >= 0
    corners = head.faces[face[0][hit].long()]
    weights = bary[0][hit][..., None]
    normals = (vertex_normals(turned, head.faces)[corners] * weights).sum(1)
    colors = (head.colors[corners] * weights).sum(1)
    image = torch.full((size, size, 3), _BACKGROUND)
    zeros = torch.zeros(len(colors), 1)
    image[hit] = shade(colors, torch.nn.functional.normalize(normals, dim=-1), zeros + 1, zeros)
    return np.asarray(
        cv2.resize(image.clamp(0, 1).numpy(), (SIZE, SIZE), interpolation=cv2.INTER_AREA), dtype=np.float32
    )


def _turned_away(yaw: float) -> Mask:
    """Landmarks [468] on the cheek that a view from the other side cannot show; the detector extrapolates them."""
    toward_side = base.load().points[:FACE_POINTS, 0] * np.sign(yaw)
    return (toward_side > _SIDE) & (abs(yaw) > 10)


def _back_projected(body: Anatomy, posed: torch.Tensor, view: View, pixels: Floats) -> Floats:
    """Points [N,3] of the neutral mesh at image points [N,2 or more]; NaN for misses, grazing hits and eyeballs."""
    faces = torch.from_numpy(body.faces)
    turned, face, bary = rasterize_view(faces, posed, view, _RASTER)
    column = np.floor(pixels[:, 0] * (_RASTER / SIZE)).astype(int)
    row = np.floor(pixels[:, 1] * (_RASTER / SIZE)).astype(int)
    inside = (column >= 0) & (column < _RASTER) & (row >= 0) & (row < _RASTER)
    column = np.clip(column, 0, _RASTER - 1)
    row = np.clip(row, 0, _RASTER - 1)
    hit = face[0].numpy()[row, column]
    corners = turned.double().numpy()[body.faces[hit]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    good = inside & (hit >= 0) & (facing > _MIN_FACING) & body.skin[body.faces[hit, 0]]
    weights = bary[0].double().numpy()[row, column]
    points = (body.vertices[body.faces[hit]] * weights[..., None]).sum(1)
    return np.where(good[:, None], points, np.nan)


def _geometric_median(points: Floats) -> Floats:
    """The geometric median [3] of `points` [N,3] (Weiszfeld's algorithm)."""
    median = np.median(points, axis=0)
    for _ in range(20):
        weight = 1 / np.maximum(np.linalg.norm(points - median, axis=1), 1e-5)
        median = (points * weight[:, None]).sum(0) / weight.sum()
    return median


def embed_landmarks(
    body: Anatomy, weights: Floats, points: Floats, openings: tuple[Opening, Opening], lips: LipLine
) -> SurfacePoints:
    """All 478 landmarks on the surface: lids and lips on their traced edges, irises on the eyeballs, others closest.

    Args:
        body: the mesh.
        weights: [V,5] skin weights.
        points: [468,3] meters, NaN where unknown.
        openings: left and right eye opening.
        lips: the line where the lips meet.

    Returns:
        478 points on the mesh, in MediaPipe's order.
    """
    points = _symmetrize(points)
    known = np.isfinite(points[:, 0])
    for opening, lids in zip(openings, (LEFT_LIDS, RIGHT_LIDS), strict=True):
        for is_upper, edge in zip((True, False), lids, strict=True):
            points[list(edge)] = _on_edge(opening, points[list(edge)], known[list(edge)], is_upper)
    points[~np.isfinite(points[:, 0])] = points[known].mean(0)
    for is_upper, row in ((True, LIP_UPPER[3]), (False, LIP_LOWER[3])):
        ids = both_sides(row)
        ids = ids[(points[ids, 0] > lips.upper[0, 0]) & (points[ids, 0] < lips.upper[-1, 0])]
        points[ids] = lips.at(points[ids, 0], is_upper)
    faces = np.zeros(POINTS, np.int64)
    bary = np.zeros((POINTS, 3))
    for landmarks, allowed in landmark_groups(body, weights):
        closest = closest_points(points[landmarks], body.vertices, body.faces, allowed)
        faces[landmarks] = closest.faces
        bary[landmarks] = closest.bary
    for first, ball in ((FACE_POINTS, body.right), (FACE_POINTS + 5, body.left)):
        iris = _iris(body, ball)
        faces[first : first + 5] = iris.faces
        bary[first : first + 5] = iris.bary
    return SurfacePoints(faces, bary)


def _symmetrize(points: Floats) -> Floats:
    """The mean of points [468,3] and their mirror images, which halves one-sided errors of the detector."""
    mirror = base.load().mirror[:FACE_POINTS]
    mirrored = points[mirror] * MIRROR
    both = np.isfinite(points[:, :1]) & np.isfinite(mirrored[:, :1])
    return np.where(both, (points + mirrored) / 2, np.where(np.isfinite(points), points, mirrored))


def _on_edge(opening: Opening, points: Floats, known: Mask, is_upper: bool) -> Floats:
    """Points [9,3] of a lid's edge from the outer to the inner corner, at the azimuths where they were detected.

    Points detected outside the opening (the corners and the tear duct's fold) are kept.
    """
    ends = opening.azimuth[[0, -1]]
    first, last = ends if opening.center[0] < 0 else ends[::-1]
    even = np.linspace(float(first), float(last), len(points))
    azimuth = np.where(known, to_angles(points - opening.center)[0], even)
    outside = known & ((azimuth < ends[0]) | (azimuth > ends[1]))
    return np.where(outside[:, None], points, opening.edge_points(azimuth, is_upper))


def _iris(body: Anatomy, ball: Eyeball) -> SurfacePoints:
    """The five iris landmarks: the pupil, then +x, +y, -x, -y on the edge of the iris."""
    depth = np.sqrt(ball.radius**2 - IRIS_RADIUS**2)
    edge = [(IRIS_RADIUS, 0, depth), (0, IRIS_RADIUS, depth), (-IRIS_RADIUS, 0, depth), (0, -IRIS_RADIUS, depth)]
    on_eyeball = np.zeros(len(body.vertices), bool)
    on_eyeball[ball.vertices] = True
    faces = np.flatnonzero(on_eyeball[body.faces].all(1))
    return closest_points(ball.center + np.array([(0, 0, ball.radius), *edge]), body.vertices, body.faces, faces)
