"""The cage: the stages from the mean face to a closed head before subdivision (S2 to S5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from avatar.head.anatomy.base import Base
from avatar.head.anatomy.indices import FACE_POINTS, LID_LOWER, LID_UPPER
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints, face_normals

from .cranium import add_cranium, fair
from .folds import Folds, add_rows, place_folds, smoothed_folds
from .lids import (
    EYE_RADIUS,
    FISSURE,
    LID_CLEARANCE,
    LID_REACH,
    LOOP,
    LidTravel,
    add_bags,
    fit_eye,
    lid_motion,
    push_out,
)
from .lips import add_sock, close_lips
from .mesh import MeshBuilder, mirror_map, orient, vertex_normals
from .spread import Spreader

#: the right nostril's rim, from its front around the septum's side to the wing
NOSTRIL_RIM = (79, 239, 238, 20, 60, 75, 59, 166)
#: rings of the pocket: scale of the rim about its center, shift in cm
_NOSTRIL_RINGS = (
    (0.84, (0.02, 0.10, 0.0)),
    (0.74, (0.10, 0.42, 0.02)),
    (0.48, (0.28, 0.85, -0.10)),
)
_NOSTRIL_END = (0.34, 1.0, -0.15)


def without_patches(triangles: Ints, mirror: Ints) -> Ints:
    """Triangles [F,3] without those that cover the nostrils: a pocket replaces each (after stage S4)."""
    keep = np.ones(len(triangles), bool)
    for rim in (NOSTRIL_RIM, tuple(int(mirror[index]) for index in NOSTRIL_RIM)):
        keep &= ~np.isin(triangles, rim).all(1)
    return triangles[keep]


def add_nostrils(builder: MeshBuilder, mirror: Ints) -> list[list[int]]:
    """Add three rings and an end behind each rim; returns the vertices of each ring, both sides together."""
    rings: list[list[int]] = [[] for _ in range(len(_NOSTRIL_RINGS) + 1)]
    for side, rim in ((-1, list(NOSTRIL_RIM)), (1, [int(mirror[index]) for index in NOSTRIL_RIM])):
        edge = builder.points(rim)
        middle = edge.mean(0)
        inward = np.array([-side, 1, 1])
        last = rim
        for number, (scale, shift) in enumerate(_NOSTRIL_RINGS):
            last = builder.ring(last, middle + (edge - middle) * scale + inward * shift)
            rings[number] += last
        rings[-1].append(builder.cap(last, middle + inward * np.array(_NOSTRIL_END)))
    return rings


#: center y, z of a bump on the midline; its half-widths along x, y, z; displacement along z, cm
_DEPTH_BUMPS = (
    ((-10.7, 1.0), (2.4, 1.15, 2.5), 0.40),  # chin
    ((-8.95, 1.4), (1.3, 0.35, 2.0), -0.13),  # the fold above it
    ((-3.9, 3.9), (1.3, 1.4, 1.7), -0.20),  # nose tip
    ((0.15, 1.6), (0.8, 0.85, 2.0), -0.24),  # between the eyes
    ((2.1, 1.3), (4.2, 0.75, 2.0), 0.10),  # brows
)


def correct_depth(points: Floats) -> Floats:
    """Corrected landmarks [N,3] cm; a landmark network cannot measure their depth in a front view (after stage S1).

    The network estimates depth from a flat drawing. Its profile has no dip between forehead and nose, a chin 9 mm
    behind the upper lip's root (adults' mean: 3-4 mm, Arnett et al. 1999) and a nose tip with a projection of 0.62 of
    the nose's length (0.55-0.60, Goode). Only z changes: the front view of the face remains.
    """
    moved = points.copy()
    for (y, z), widths, forward in _DEPTH_BUMPS:
        scaled = (points - np.array([0, y, z])) / np.array(widths)
        moved[:, 2] += forward * np.exp(-(scaled**2).sum(1))
    return moved


@dataclass(frozen=True)
class Cage:
    """A symmetric control mesh; its first 468 vertices are the positions of the landmarks after subdivision."""

    vertices: Floats  # [C,3] cm
    faces: Ints  # [F,3]
    mirror: Ints  # [C]
    eye_center: Floats  # [3] of the right eye
    bags: dict[int, list[int]]  # lid-edge vertex -> its three ring vertices behind the lid
    folds: Folds  # vertices of the upper lids between landmarks
    brows: Folds  # of the brows and above them
    sock: dict[int, list[int]]  # contact vertex -> its five ring vertices inside the mouth
    sock_cap: int
    nostrils: list[list[int]]  # three rings and the ends of both pockets
    rings: list[list[int]]  # skull, neck, shoulders

    @cached_property
    def spreader(self) -> Spreader:
        """Interpolation of displacements on this cage."""
        return Spreader(self.vertices, self.faces, self.folds | self.brows)

    @cached_property
    def normals(self) -> Floats:
        """Unit normals [C,3]."""
        return vertex_normals(self.vertices, self.faces)

    def mirrored(self, ids: tuple[int, ...] | list[int]) -> list[int]:
        """The mirror vertices of `ids`."""
        return [int(self.mirror[index]) for index in ids]


def face_vertices(cage: Cage) -> list[int]:
    """Visible vertices within the face's outline: landmarks, the rows between them, the nostrils."""
    return [*range(FACE_POINTS), *cage.folds, *cage.brows, *(index for ring in cage.nostrils for index in ring)]


def _assemble(base: Base) -> Cage:
    """The cage with the lids open as in the mean face."""
    eye_center = fit_eye(base.points)
    points = close_lips(base.points, base.mirror)
    for center, loop in ((eye_center, list(LOOP)), (eye_center * MIRROR, [int(base.mirror[i]) for i in LOOP])):
        points[loop] = push_out(points[loop], center, EYE_RADIUS + LID_CLEARANCE)
    triangles = without_patches(symmetric_triangles(base), base.mirror)
    face, triangles, folds, brows = add_rows(points[:FACE_POINTS], triangles, base.mirror, eye_center)
    builder = MeshBuilder(face, triangles)
    bags = add_bags(builder, base.mirror, eye_center)
    sock, sock_cap = add_sock(builder, base.mirror)
    nostrils = add_nostrils(builder, base.mirror)
    rings = add_cranium(builder)
    vertices, faces = builder.arrays()
    faces = orient(faces)
    vertices = fair(vertices, faces, rings)
    mirror = mirror_map(vertices)
    vertices = (vertices + (vertices * MIRROR)[mirror]) / 2
    assert face_normals(vertices, faces)[0] @ face_normals(face, triangles[:1])[0] > 0
    return Cage(vertices, faces, mirror, eye_center, bags, folds, brows, sock, sock_cap, nostrils, rings)


def _relax_lids(cage: Cage) -> Cage:
    """The cage with the lids closed until the opening has the height of a relaxed face."""
    upper = LID_UPPER[len(LID_UPPER) // 2]
    lower = LID_LOWER[len(LID_LOWER) // 2]
    low = 0.0
    high = 0.6
    for _ in range(30):
        closing = (low + high) / 2
        handles = lid_motion(cage.vertices, cage.bags, cage.eye_center, LidTravel(closing, closing), cage.folds)
        opening = cage.vertices[upper] + handles[upper] - cage.vertices[lower] - handles[lower]
        low, high = (closing, high) if np.linalg.norm(opening) > FISSURE else (low, closing)
    moved = cage.spreader.fill(handles, LID_REACH)
    vertices = cage.vertices + moved + (moved * MIRROR)[cage.mirror]
    placed = place_folds(vertices, cage.folds, cage.eye_center)
    return replace(cage, vertices=smoothed_folds(placed, cage.faces, cage.folds))


def build_cage(base: Base) -> Cage:
    """Build the cage from the mean face."""
    return _relax_lids(_assemble(replace(base, points=correct_depth(base.points))))


def symmetric_triangles(base: Base) -> Ints:
    """The face's triangles [852,3] (S2): those of the right side and their mirror images, counter-clockwise from +z."""
    right = base.triangles[base.points[base.triangles].mean(1)[:, 0] < 0]
    triangles = np.vstack([right, base.mirror[right][:, ::-1]])
    assert len(triangles) == len(base.triangles), "the tessellation has triangles across the middle"
    frontal = int(np.argmax(np.abs(face_normals(base.points, triangles)[:, 2])))
    wound = orient(triangles, frontal)
    return wound if face_normals(base.points, wound)[frontal, 2] > 0 else wound[:, ::-1].copy()
