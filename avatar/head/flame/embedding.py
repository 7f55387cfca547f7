"""The landmark embedding of a FLAME head: from the cache, detected, or fitted from headsplat's mean face."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from avatar.common.cache import user_cache
from avatar.common.files import atomic_path
from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.head.anatomy import base
from avatar.head.anatomy.base import similarity
from avatar.head.anatomy.indices import FACE_POINTS
from avatar.head.anatomy.mesh import uniform_laplacian
from avatar.head.model import HeadModel

from .anatomy import Anatomy
from .detection import LEFT_LIDS, POINTS, RIGHT_LIDS, Detector, detect_landmarks, embed_landmarks
from .lips import LIP_MIDDLES, LipLine, landmark_groups
from .openings import Opening
from .source import FileLandmarks
from .surface import Floats, Ints, SurfacePoints, closest_points

log = logging.getLogger(__name__)

#: part of the cache key: change it with the procedure, so that older results are ignored
_PROCEDURE = "1"
DETECTED = "detected"
ALIGNED = "aligned"


@dataclass(frozen=True)
class Embedding:
    """The 478 landmarks on the mesh and the method that found them."""

    points: SurfacePoints
    method: str  # DETECTED in rendered images of the head, or ALIGNED: headsplat's mean face fitted to it

    def sentence(self) -> str:
        """The method as a message."""
        if self.method == DETECTED:
            return "landmarks detected in rendered images of this head"
        return "landmarks fitted from headsplat's mean face (no detector); `headsplat capture` finds better ones"


def find_embedding(
    head: HeadModel,
    body: Anatomy,
    openings: tuple[Opening, Opening],
    lips: LipLine,
    detector: Detector | None,
) -> Embedding:
    """The embedding of a head; a detected one is computed once per geometry and then read from the cache folder.

    Args:
        head: a `file_head` with colors.
        body: its anatomy.
        openings: left and right eye opening.
        lips: the line where the lips meet.
        detector: detects landmarks in images; None: the cached result of an earlier detection, else the mean face.

    Returns:
        The embedding.
    """
    path = _cached_path(body, head)
    cached = _read(path, len(body.faces))
    if cached is not None:
        return Embedding(cached, DETECTED)
    weights = head.lbs_weights.double().numpy()
    points = detect_landmarks(head, body, detector) if detector is not None else None
    if points is not None:
        landmarks = embed_landmarks(body, weights, points, openings, lips)
        _write(path, landmarks)
        return Embedding(landmarks, DETECTED)
    points = align_mean_face(body, weights, openings, lips)
    return Embedding(embed_landmarks(body, weights, points, openings, lips), ALIGNED)


def mean_distance(landmarks: SurfacePoints, stored: FileLandmarks, body: Anatomy) -> float:
    """Mean distance (meters) of landmarks to those that the file contains."""
    positions = landmarks.points(body.vertices, body.faces)[stored.index]
    expected = SurfacePoints(stored.faces, stored.bary).points(body.vertices, body.faces)
    return float(np.linalg.norm(positions - expected, axis=1).mean())


def _cached_path(body: Anatomy, head: HeadModel) -> Path:
    digest = hashlib.sha256(_PROCEDURE.encode())
    for array in (body.vertices, body.faces, head.lbs_weights.numpy()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return user_cache("landmarks") / f"{digest.hexdigest()[:24]}.npz"


def _read(path: Path, face_count: int) -> SurfacePoints | None:
    """The cached embedding, or None if there is no valid one."""
    if not path.is_file():
        return None
    try:
        stored = Npz(path)
        faces = stored.array("faces")
        bary = stored.array("bary")
    except DamagedNpz as error:
        log.info("%s: not readable (%s), computed again", path, error)
        return None
    fits = faces.shape == (POINTS,) and bary.shape == (POINTS, 3) and faces.dtype == np.int64 and bary.dtype == float
    valid = fits and 0 <= faces.min() <= faces.max() < face_count and np.abs(bary).max() <= 2  # False for NaN
    return SurfacePoints(faces, bary) if valid else None


def _write(path: Path, landmarks: SurfacePoints) -> None:
    """Cache an embedding; without a writable cache the next run only takes some seconds more."""
    try:
        with atomic_path(path) as partial:
            np.savez_compressed(partial, faces=landmarks.faces, bary=landmarks.bary)
    except (OSError, HeadsplatError) as error:
        log.info("%s: not cached (%s)", path, error)


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
