"""Two heads made comparable: where their landmarks are, how far expressions move them, what mirrors what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from avatar.geometry.similarity import fit_similarity
from avatar.head import load_head
from avatar.head.model import HeadModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LANDMARKS, FACE_POINTS = 478, 468
_IRIS_MIRROR = (473, 476, 475, 474, 477, 468, 471, 470, 469, 472)
_FLIP = np.array([-1.0, 1, 1])
#: upper and lower lid of the right eye, where an aperture is measured
_LID_PAIRS = ((159, 145), (158, 153), (160, 144))
#: the right half of the edges of lips and lids: what people look at
_LIPS = (
    61, 185, 40, 39, 37, 0, 76, 184, 74, 73, 72, 11, 62, 183, 42, 41, 38, 12, 78, 191, 80, 81, 82, 13,
    146, 91, 181, 84, 17, 77, 90, 180, 85, 16, 96, 89, 179, 86, 15, 95, 88, 178, 87, 14,
)  # fmt: skip
_LIDS = (33, 246, 161, 160, 159, 158, 157, 173, 133, 7, 163, 144, 145, 153, 154, 155)
_EMPHASIS = 4.0
_APERTURE_WEIGHT = 0.07  # of inter-ocular distance: a whole blink counts about twice what its lids' motion does
_NEIGHBORS = 24


@lru_cache(maxsize=1)
def landmark_mirror() -> Ints:
    """Which landmark mirrors which, [478], an involution; read off the embedded head, whose landmarks are symmetric."""
    points = neutral_landmarks(load_head("embedded"))[:FACE_POINTS]
    distance = np.linalg.norm((points * _FLIP)[:, None] - points[None], axis=2)
    mirror = linear_sum_assignment(distance)[1]
    assert (mirror[mirror] == np.arange(FACE_POINTS)).all(), "the embedded head's landmarks do not mirror"
    return np.concatenate([mirror, _IRIS_MIRROR]).astype(np.int64)


def neutral_landmarks(head: HeadModel) -> Floats:
    """The mean person's landmarks [478,3] in meters."""
    return head.landmarks(head.v_template[None])[0].double().cpu().numpy()


def mirrored(fields: Floats) -> Floats:
    """Landmark fields [478,3,...] seen in the mirror."""
    flip = _FLIP.reshape(1, 3, *[1] * (fields.ndim - 2))
    return fields[landmark_mirror()] * flip


def landmark_columns(head: HeadModel, fields: torch.Tensor) -> Floats:
    """Vertex fields [V,3,N] at the landmarks, [478,3,N]."""
    corners = fields[head.faces[head.landmark_faces]].double().cpu().numpy()
    return np.einsum("lk,lkcn->lcn", head.landmark_bary.double().cpu().numpy(), corners)


def _local_sizes(points: Floats, neighbors: Ints) -> Floats:
    """Root mean square distance of each point to its neighbors, [N]."""
    return np.sqrt(((points[neighbors] - points[:, None]) ** 2).sum(2).mean(1))


@dataclass(frozen=True)
class Correspondence:
    """Landmarks of head A and head B, symmetrized: how A's displacements are carried to B and how rows are weighted."""

    source: Floats  # [478,3] meters
    target: Floats  # [478,3] meters

    @staticmethod
    def of(a: HeadModel, b: HeadModel) -> Correspondence:
        """The correspondence of the mean people of two heads."""
        return Correspondence(*((points + mirrored(points)) / 2 for points in map(neutral_landmarks, (a, b))))

    @cached_property
    def _neighbors(self) -> Ints:
        return cKDTree(self.target).query(self.target, _NEIGHBORS)[1]

    @cached_property
    def scales(self) -> Floats:
        """How much larger B is than A around each landmark, [478]."""
        ratio = _local_sizes(self.target, self._neighbors) / _local_sizes(self.source, self._neighbors)
        return (ratio + ratio[landmark_mirror()]) / 2

    @cached_property
    def _turn(self) -> Floats:
        """Rotation [3,3] of A's face onto B's; about the x axis, since both are symmetric."""
        return fit_similarity(self.source[:FACE_POINTS], self.target[:FACE_POINTS])[0]

    def rows_of_source(self, fields: Floats) -> Floats:
        """Equations [R,N] of A's displacements [478,3,N], as B would show them: turned, and scaled by local size."""
        carried = np.einsum("cd,ldn->lcn", self._turn, fields) * self.scales[:, None, None]
        return self._rows(carried, closures(self.source, fields))

    def rows_of_target(self, fields: Floats) -> Floats:
        """Equations [R,N] of B's displacements [478,3,N]."""
        return self._rows(fields, closures(self.target, fields))

    def _rows(self, fields: Floats, apertures: Floats) -> Floats:
        """Weighted displacements over the eye distance, then the two lid apertures (fractions of the head's own)."""
        scaled = fields * np.sqrt(self.weights)[:, None, None] / self.eye_distance
        return np.concatenate([scaled.reshape(-1, fields.shape[2]), _APERTURE_WEIGHT * apertures])

    @cached_property
    def eye_distance(self) -> float:
        """B's inter-ocular distance in meters."""
        return float(np.linalg.norm(self.target[468] - self.target[473]))

    @cached_property
    def weights(self) -> Floats:
        """Weight of each landmark's squared error, [478], sum 1: its area; lips, lids and irises more."""
        area = _local_sizes(self.target, self._neighbors[:, :7]) ** 2
        middle = np.median(area)
        area = np.clip(area, middle / 4, middle * 4)
        edges = [*_LIPS, *_LIDS]
        area[np.union1d(edges, landmark_mirror()[edges])] *= _EMPHASIS
        area[FACE_POINTS:] = middle * _EMPHASIS
        area = area + area[landmark_mirror()]
        return area / area.sum()


def closures(neutral: Floats, fields: Floats) -> Floats:
    """How much of each eye's aperture displacements [478,3,N] close: [2,N], right then left, 1 for shut."""
    mirror = landmark_mirror()
    result = []
    for side in (np.arange(len(mirror)), mirror):
        upper, lower = (side[[pair[k] for pair in _LID_PAIRS]] for k in (0, 1))
        opening = (neutral[upper] - neutral[lower]).mean(0)
        gap = np.linalg.norm(opening)
        result.append(-np.einsum("c,cn->n", opening / gap**2, (fields[upper] - fields[lower]).mean(0)))
    return np.stack(result)
