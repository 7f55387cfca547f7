"""Measurements of the head's tests, in centimeters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.head import HeadModel, sheets

Floats = NDArray[np.float64]
MIRROR = np.array([-1.0, 1.0, 1.0])


def template(head: HeadModel) -> Floats:
    """Neutral vertices [V,3] cm."""
    return head.v_template.double().numpy() * 100


def posed(head: HeadModel, weights: Mapping[str, float]) -> Floats:
    """Vertices [V,3] cm of the mean person with named expression weights."""
    return sheets.pose_vertices(head, weights).double().numpy() * 100


def expression(head: HeadModel, name: str) -> Floats:
    """Displacements [V,3] cm of an expression alone at weight 1."""
    return posed(head, {name: 1.0}) - template(head)


def region(head: HeadModel, name: str) -> NDArray[np.bool_]:
    """A region's mask [V]."""
    return head.regions[name].numpy()


def normals(vertices: Floats, faces: NDArray[np.int64]) -> Floats:
    """Face normals [F,3]; their length is twice the area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)


def mirror_of(vertices: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Distance to and index of the vertex at each vertex's mirror image."""
    distance, index = cKDTree(vertices).query(vertices * MIRROR)
    return distance, index


def outer_faces(head: HeadModel) -> NDArray[np.bool_]:
    """Mask [F] of visible faces: skin without the inside of mouth and lids and without the ears."""
    faces = head.faces.numpy()
    hidden = np.zeros(len(head.v_template), bool)
    for name in ("mouth_interior", "lid_interior", "left_ear", "right_ear"):
        hidden |= region(head, name)
    return region(head, "skin")[faces].all(1) & ~hidden[faces].any(1)
