"""The mean face: the average of 478 points that a landmark network detects in cartoons, made symmetric (stage S1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from avatar.errors import HeadsplatError
from avatar.head.anatomy.base import HEADER, STORED, Base, similarity
from avatar.head.anatomy.indices import FACE_POINTS, INFRAORBITAL, IRIS_LEFT, IRIS_RIGHT, MIDDLE_LIDS, TRAGI
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints

from . import cartoon
from .mesh import rotation_x

#: maps an image [1,192,192,3] float32 RGB 0..1 to points [478,3] in its pixels (x right, y down, z away) and a score
LandmarkNetwork = Callable[[cartoon.Image], "tuple[Floats, float]"]

PUPIL_DISTANCE = 6.3  # cm, adults' mean
_IRIS_MIRROR = (473, 476, 475, 474, 477, 468, 471, 470, 469, 472)


def _find_mirror(points: Floats) -> Ints:
    """Mirror map [478] by optimal assignment to the mirrored points, alternating with symmetrization."""
    face = points[:FACE_POINTS].copy()
    for _ in range(5):
        distance = (((face * MIRROR)[:, None] - face[None]) ** 2).sum(-1)
        mirror = linear_sum_assignment(distance)[1]
        face = (face + similarity(face[mirror] * MIRROR, face)) / 2
    if not (mirror[mirror] == np.arange(FACE_POINTS)).all():
        raise HeadsplatError("landmark network: its points on the cartoon are not symmetric; use another network.")
    return np.concatenate([mirror, _IRIS_MIRROR]).astype(np.int64)


def _symmetric(points: Floats, mirror: Ints) -> Floats:
    """Points [478,3] rotated so that their plane of symmetry is x = 0, and made exactly symmetric."""
    for _ in range(5):
        points = (points + similarity(points[mirror] * MIRROR, points)) / 2
    across = points - points[mirror]
    normal = np.linalg.svd(across[:FACE_POINTS], full_matrices=False)[2][0]
    normal = normal * np.sign(normal[0])
    x, y, z = np.cross(normal, [1, 0, 0])
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + skew + skew @ skew / (1 + normal[0])
    middle = ((points + points[mirror]) / 2).mean(0)
    turned = (points - middle) @ turn.T
    return (turned + turned[mirror] * MIRROR) / 2


def frankfurt_pitch(points: Floats) -> float:
    """Degrees about x that make the plane through tragi and lower orbital rims (the Frankfurt plane) horizontal.

    The network's depth of a drawing tilts the forehead forward; this rule does not use the depth of the brow.
    """
    forward = points[list(INFRAORBITAL)].mean(0) - points[list(TRAGI)].mean(0)
    return float(np.degrees(np.arctan2(forward[1], forward[2])))


def build(network: LandmarkNetwork, triangles: Ints) -> Base:
    """Run `network` on 48 cartoons and average its points; deterministic for a given network."""
    clouds = []
    for image in cartoon.variants():
        points = np.asarray(network(image[None])[0], float)
        if points.shape != (FACE_POINTS + 10, 3):
            raise HeadsplatError(
                f"landmark network: expected points [478,3], got {list(points.shape)}; use another one."
            )
        clouds.append((points - points[:FACE_POINTS].mean(0)) * [1, -1, -1])
    mean = clouds[0]
    for _ in range(3):
        mean = np.mean([similarity(cloud, mean) for cloud in clouds], 0)
    mirror = _find_mirror(mean)
    points = _symmetric(mean, mirror)
    points = points * (PUPIL_DISTANCE / np.linalg.norm((points[IRIS_RIGHT] - points[IRIS_LEFT])[:2]))
    points[IRIS_RIGHT:, 2] = points[list(MIDDLE_LIDS), 2].mean()  # networks give no depth for irises
    points = (points - points[IRIS_RIGHT] * [0, 1, 1]) @ rotation_x(frankfurt_pitch(points)).T
    return Base(points.astype(np.float32).astype(float), mirror, triangles)


def read_tessellation(text: str) -> Ints:
    """Triangles [852,3] from the text of MediaPipe's face_mesh_connections.py: three edges per triangle."""
    pairs = re.findall(r"\((\d+), (\d+)\)", text[text.index("FACEMESH_TESSELATION") :])[: 852 * 3]
    triangles = []
    for first in range(0, len(pairs), 3):
        corners = [int(end) for pair in pairs[first : first + 3] for end in pair]
        triangles.append(list(dict.fromkeys(corners)))
    return np.array(triangles, np.int64)


def save(base: Base, path: Path = STORED) -> None:
    """Write the base as one compressed npz (points float32, indices uint16)."""
    np.savez_compressed(
        path,
        header=np.frombuffer(json.dumps(HEADER).encode(), np.uint8),
        points=base.points.astype(np.float32),
        mirror=base.mirror.astype(np.uint16),
        triangles=base.triangles.astype(np.uint16),
    )
