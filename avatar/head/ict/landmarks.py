"""MediaPipe's landmarks on a head-like mesh: those of the embedded head, laid onto it.

First as a whole (eyes, or marks that the mesh comes with), then bending towards the nearest surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from avatar.head.embedded import embedded_head
from avatar.head.flame.surface import Places, nearest
from avatar.head.generate.base import similarity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FACE_POINTS = 468
#: MediaPipe's landmarks at the 68 marks of Multi-PIE that sit on something (the jawline's slide)
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
_ANCHOR_TOLERANCE = 0.25  # of the eye distance: marks farther off belong to another release of the mesh
_SMOOTHING = (1e-1, 1e-2, 1e-3, 1e-3)  # of the bend, from stiff to soft
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
    skin: Ints  # faces that landmarks of the face may lie on
    eyeballs: tuple[Ints, Ints]  # faces of the right and the left one
    eyes: tuple[Floats, Floats]  # centers [3] of the right and the left one
    jaw: Floats  # [V] share of the jaw, which tells the lower lip from the upper


def landmark_embedding(surface: Surface, anchors: dict[int, int] | None = None) -> Places:
    """Places of the 478 landmarks on the mesh.

    Args:
        surface: the mesh.
        anchors: landmark -> vertex, marks that the mesh comes with; dropped where they do not look like a face.
    """
    reference = embedded_head()
    points = reference.landmarks(reference.v_template[None])[0].double().numpy()
    centers = reference.joint_locations(reference.neutral_params().identity)[[4, 3]].double().numpy()
    own = np.stack(surface.eyes)
    size = float(np.linalg.norm(own[0] - own[1]) / np.linalg.norm(centers[0] - centers[1]))
    face = (points[:FACE_POINTS] - centers.mean(0)) * size + own.mean(0)
    face = _anchored(face, surface, anchors or {}, size)
    groups = _groups(surface)
    for smoothing in _SMOOTHING:
        target = _places(face, surface, groups).points(surface.vertices, surface.faces)
        bend = RBFInterpolator(face, target - face, neighbors=60, smoothing=smoothing * 0.01)
        face = face + bend(face)
    found = _places(face, surface, groups)
    irises = [_iris(points, centers, surface, side, size) for side in (0, 1)]
    return Places(
        np.concatenate([found.faces, *(place.faces for place in irises)]),
        np.concatenate([found.bary, *(place.bary for place in irises)]),
    )


def _anchored(face: Floats, surface: Surface, anchors: dict[int, int], size: float) -> Floats:
    """The points [468,3] moved, then bent, onto the marks that the mesh comes with."""
    marks = np.array(list(anchors), np.int64)
    if len(marks) < 10 or max(anchors.values()) >= len(surface.vertices):
        return face
    places = surface.vertices[list(anchors.values())]
    turned = similarity(face[marks], places)
    if np.linalg.norm(turned - places, axis=1).mean() > _ANCHOR_TOLERANCE * 0.063 * size:
        return face
    affine = np.linalg.lstsq(np.hstack([face[marks], np.ones((len(marks), 1))]), turned, rcond=None)[0]
    face = face @ affine[:3] + affine[3]
    return face + RBFInterpolator(face[marks], places - face[marks], smoothing=1e-6)(face)


def _groups(surface: Surface) -> list[tuple[Ints, Ints]]:
    """Landmarks and the faces they may lie on: the lips' own halves, all skin for the rest."""
    jaw = surface.jaw[surface.faces[surface.skin]].mean(1)
    lower, upper = surface.skin[jaw >= 0.5], surface.skin[jaw < 0.5]
    inner = [61, 291, 76, 306, 62, 292, 78, 308]  # the corners belong to both lips
    low = np.setdiff1d(_LOWER_LIP, inner)
    high = np.setdiff1d(_UPPER_LIP, inner)
    if not len(lower) or not len(upper):
        low = high = np.zeros(0, np.int64)
    rest = np.setdiff1d(np.arange(FACE_POINTS), np.concatenate([low, high]))
    return [(ids, allowed) for ids, allowed in ((low, lower), (high, upper), (rest, surface.skin)) if len(ids)]


def _places(points: Floats, surface: Surface, groups: list[tuple[Ints, Ints]]) -> Places:
    faces, bary = np.zeros(len(points), np.int64), np.zeros((len(points), 3))
    for ids, allowed in groups:
        found = nearest(points[ids], surface.vertices, surface.faces, allowed)
        faces[ids], bary[ids] = found.faces, found.bary
    return Places(faces, bary)


def _iris(points: Floats, centers: Floats, surface: Surface, side: int, size: float) -> Places:
    """Five landmarks of one iris on the front of its eyeball; `side` 0 is the right eye."""
    first = FACE_POINTS + 5 * side
    wanted = (points[first : first + 5] - centers[side]) * size + surface.eyes[side]
    return nearest(wanted, surface.vertices, surface.faces, surface.eyeballs[side])
