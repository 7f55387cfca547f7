"""Correspondence of two heads by landmarks: displacements of A expressed on B, weights and mirroring."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.geometry.similarity import fit_similarity
from avatar.head import load_head
from avatar.head.model import HeadModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LANDMARKS = 478
FACE_POINTS = 468
_IRIS_MIRROR = (473, 476, 475, 474, 477, 468, 471, 470, 469, 472)
_FLIP = np.array([-1.0, 1, 1])
#: upper and lower lid landmarks of the right and of the left eye between which the aperture is measured
LID_PAIRS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))
#: the right half of the edges of lips and lids, which have a higher weight
_LIPS = (
    61, 185, 40, 39, 37, 0, 76, 184, 74, 73, 72, 11, 62, 183, 42, 41, 38, 12, 78, 191, 80, 81, 82, 13,
    146, 91, 181, 84, 17, 77, 90, 180, 85, 16, 96, 89, 179, 86, 15, 95, 88, 178, 87, 14,
)  # fmt: skip
_LIDS = (33, 246, 161, 160, 159, 158, 157, 173, 133, 7, 163, 144, 145, 153, 154, 155)
_EMPHASIS = 4.0
_APERTURE_WEIGHT = 0.07  # of the inter-ocular distance: a blink counts about twice as much as its lid motion alone
_NEIGHBORS = 24


@lru_cache(maxsize=1)
def landmark_mirror() -> Ints:
    """Index [478] of each landmark's mirror image, from the symmetric landmarks of the embedded head."""
    from scipy.optimize import linear_sum_assignment  # slow to import; most motions are driven by name and need no map

    points = neutral_landmarks(load_head("embedded"))[:FACE_POINTS]
    distance = np.linalg.norm((points * _FLIP)[:, None] - points[None], axis=2)
    mirror = linear_sum_assignment(distance)[1]
    assert (mirror[mirror] == np.arange(FACE_POINTS)).all(), "the embedded head's landmarks are not symmetric"
    return np.concatenate([mirror, _IRIS_MIRROR]).astype(np.int64)


def neutral_landmarks(head: HeadModel) -> Floats:
    """The mean person's landmarks [478,3] in meters."""
    return head.landmarks(head.v_template[None])[0].double().cpu().numpy()


def mirrored(fields: Floats) -> Floats:
    """Mirrored landmark fields [478,3,...]."""
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
    """Symmetrized landmarks of heads A and B: the map of A's displacements to B and the weights of equations."""

    source: Floats  # [478,3] meters
    target: Floats  # [478,3] meters

    @staticmethod
    def of(a: HeadModel, b: HeadModel) -> Correspondence:
        """The correspondence of the mean persons of two heads."""
        return Correspondence(*((points + mirrored(points)) / 2 for points in map(neutral_landmarks, (a, b))))

    @cached_property
    def _neighbors(self) -> Ints:
        from scipy.spatial import cKDTree

        return cKDTree(self.target).query(self.target, _NEIGHBORS)[1]

    @cached_property
    def scales(self) -> Floats:
        """Local size of B relative to A at each landmark, [478]."""
        ratio = _local_sizes(self.target, self._neighbors) / _local_sizes(self.source, self._neighbors)
        return (ratio + ratio[landmark_mirror()]) / 2

    @cached_property
    def _rotation(self) -> Floats:
        """Rotation [3,3] from A's face to B's; about the x axis, since both are symmetric."""
        return fit_similarity(self.source[:FACE_POINTS], self.target[:FACE_POINTS])[0]

    def rows_of_source(self, fields: Floats) -> Floats:
        """Equations [R,N] of A's displacements [478,3,N] (meters) mapped to B: rotated, and scaled by local size."""
        mapped = np.einsum("cd,ldn->lcn", self._rotation, fields) * self.scales[:, None, None]
        return self._rows(mapped, closures(self.source, fields))

    def rows_of_target(self, fields: Floats) -> Floats:
        """Equations [R,N] of B's displacements [478,3,N] (meters)."""
        return self._rows(fields, closures(self.target, fields))

    def _rows(self, fields: Floats, apertures: Floats) -> Floats:
        """Weighted displacements in eye distances, then the two lid apertures as fractions of the neutral ones."""
        scaled = fields * np.sqrt(self.weights)[:, None, None] / self.eye_distance
        return np.concatenate([scaled.reshape(-1, fields.shape[2]), _APERTURE_WEIGHT * apertures])

    @cached_property
    def eye_distance(self) -> float:
        """B's inter-ocular distance in meters."""
        return float(np.linalg.norm(self.target[468] - self.target[473]))

    @cached_property
    def weights(self) -> Floats:
        """Weight [478] of each landmark's squared error, sum 1: its area, increased for lips, lids and irises."""
        area = _local_sizes(self.target, self._neighbors[:, :7]) ** 2
        median = np.median(area)
        area = np.clip(area, median / 4, median * 4)
        edges = [*_LIPS, *_LIDS]
        area[np.union1d(edges, landmark_mirror()[edges])] *= _EMPHASIS
        area[FACE_POINTS:] = median * _EMPHASIS
        area = area + area[landmark_mirror()]
        return area / area.sum()


def closures(neutral: Floats, fields: Floats) -> Floats:
    """Fraction [2,N] of each eye's aperture that displacements [478,3,N] close, right then left; 1 is shut."""
    result = []
    for pairs in LID_PAIRS:
        upper, lower = np.array(pairs).T
        opening = (neutral[upper] - neutral[lower]).mean(0)
        gap = np.linalg.norm(opening)
        result.append(-np.einsum("c,cn->n", opening / gap**2, (fields[upper] - fields[lower]).mean(0)))
    return np.stack(result)
