"""MediaPipe's landmarks on a head-like mesh, fitted from those of the embedded head.

A similarity transform (by the eyes, or by landmarks that come with the mesh), then a warp to the closest surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from avatar.head.anatomy.base import similarity
from avatar.head.embedded import embedded_head
from avatar.head.flame.surface import SurfacePoints, closest_points

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FACE_POINTS = 468
#: Multi-PIE's landmarks (of 68) -> MediaPipe's; without the jawline, whose points have no fixed position
MULTI_PIE = dict(
    zip(
        (8, *range(17, 27), *range(27, 31), *range(31, 36), *range(36, 48), *range(48, 68)),
        (
            152, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 98, 97, 2, 326, 327,
            33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
            61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
        ),
        strict=True,
    )
)  # fmt: skip
_ANCHOR_TOLERANCE = 0.25  # eye distances: larger errors mean landmarks of another release of the mesh
_SMOOTHING = (1e-1, 1e-2, 1e-3, 1e-3)  # of the warp, from stiff to soft
_LOWER_LIP = (
    61, 146, 91, 181, 84, 17, 76, 77, 90, 180, 85, 16, 62, 96, 89, 179, 86, 15, 78, 95, 88, 178, 87, 14,
    314, 405, 321, 375, 291, 315, 404, 320, 307, 306, 316, 403, 319, 325, 292, 317, 402, 318, 324, 308,
)  # fmt: skip
_UPPER_LIP = (
    185, 40, 39, 37, 0, 184, 74, 73, 72, 11, 183, 42, 41, 38, 12, 191, 80, 81, 82, 13,
    267, 269, 270, 409, 302, 303, 304, 408, 268, 271, 272, 407, 312, 311, 310, 415,
)  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """A head-like mesh: meters, y up, facing +z, the origin between the eyeballs."""

    vertices: Floats  # [V,3]
    faces: Ints  # [F,3]
    skin: Ints  # [N] faces on which landmarks of the face may lie
    eyeballs: tuple[Ints, Ints]  # faces of the right and the left eyeball
    eyes: tuple[Floats, Floats]  # centers [3] of the right and the left eyeball
    jaw: Floats  # [V] skin weight of the jaw, which separates the lower lip from the upper


def landmark_embedding(surface: Surface, anchors: dict[int, int] | None = None) -> SurfacePoints:
    """Find the 478 landmarks on the mesh.

    Args:
        surface: the mesh.
        anchors: landmark -> vertex, from the mesh's files; ignored where they do not match a face.

    Returns:
        478 points on the mesh, in MediaPipe's order.
    """
    reference = embedded_head()
    points = reference.landmarks(reference.v_template[None])[0].double().numpy()
    centers = reference.joint_locations(reference.neutral_params().identity)[[4, 3]].double().numpy()
    eyes = np.stack(surface.eyes)
    scale = float(np.linalg.norm(eyes[0] - eyes[1]) / np.linalg.norm(centers[0] - centers[1]))
    face = (points[:FACE_POINTS] - centers.mean(0)) * scale + eyes.mean(0)
    face = _move_to_anchors(face, surface, anchors or {}, scale)
    groups = _groups(surface)
    for smoothing in _SMOOTHING:
        target = _embed(face, surface, groups).points(surface.vertices, surface.faces)
        warp = RBFInterpolator(face, target - face, neighbors=60, smoothing=smoothing * 0.01)
        face = face + warp(face)
    on_face = _embed(face, surface, groups)
    irises = [_iris(points, centers, surface, side, scale) for side in (0, 1)]
    return SurfacePoints(
        np.concatenate([on_face.faces, *(iris.faces for iris in irises)]),
        np.concatenate([on_face.bary, *(iris.bary for iris in irises)]),
    )


def _move_to_anchors(face: Floats, surface: Surface, anchors: dict[int, int], scale: float) -> Floats:
    """The points [468,3] moved, then warped, to the mesh's anchors."""
    landmarks = np.array(list(anchors), np.int64)
    if len(landmarks) < 10 or max(anchors.values()) >= len(surface.vertices):
        return face
    targets = surface.vertices[list(anchors.values())]
    fitted = similarity(face[landmarks], targets)
    if np.linalg.norm(fitted - targets, axis=1).mean() > _ANCHOR_TOLERANCE * 0.063 * scale:
        return face
    affine = np.linalg.lstsq(np.hstack([face[landmarks], np.ones((len(landmarks), 1))]), fitted, rcond=None)[0]
    face = face @ affine[:3] + affine[3]
    return face + RBFInterpolator(face[landmarks], targets - face[landmarks], smoothing=1e-6)(face)


def _groups(surface: Surface) -> list[tuple[Ints, Ints]]:
    """Landmarks and the faces on which they may lie: lower lip, upper lip, all other skin."""
    jaw = surface.jaw[surface.faces[surface.skin]].mean(1)
    lower = surface.skin[jaw >= 0.5]
    upper = surface.skin[jaw < 0.5]
    inner = [61, 291, 76, 306, 62, 292, 78, 308]  # the corners belong to both lips
    low = np.setdiff1d(_LOWER_LIP, inner)
    high = np.setdiff1d(_UPPER_LIP, inner)
    if not len(lower) or not len(upper):
        low = high = np.zeros(0, np.int64)
    rest = np.setdiff1d(np.arange(FACE_POINTS), np.concatenate([low, high]))
    return [(ids, allowed) for ids, allowed in ((low, lower), (high, upper), (rest, surface.skin)) if len(ids)]


def _embed(points: Floats, surface: Surface, groups: list[tuple[Ints, Ints]]) -> SurfacePoints:
    """The closest surface points to `points` [N,3], each group on its faces."""
    faces = np.zeros(len(points), np.int64)
    bary = np.zeros((len(points), 3))
    for ids, allowed in groups:
        closest = closest_points(points[ids], surface.vertices, surface.faces, allowed)
        faces[ids] = closest.faces
        bary[ids] = closest.bary
    return SurfacePoints(faces, bary)


def _iris(points: Floats, centers: Floats, surface: Surface, side: int, scale: float) -> SurfacePoints:
    """Five landmarks of one iris on the front of its eyeball; `side` 0 is the right eye."""
    first = FACE_POINTS + 5 * side
    targets = (points[first : first + 5] - centers[side]) * scale + surface.eyes[side]
    return closest_points(targets, surface.vertices, surface.faces, surface.eyeballs[side])
