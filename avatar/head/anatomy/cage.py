"""The cage: the stages from the mean face to a closed head before subdivision (S2 to S5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .base import Base
from .cranium import add_cranium, fair
from .folds import Folds, add_rows, place_folds, smoothed_folds
from .indices import FACE_POINTS, LID_LOWER, LID_UPPER
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
from .mesh import MIRROR, Floats, Ints, MeshBuilder, face_normals, mirror_map, orient, vertex_normals
from .nostrils import add_nostrils, without_patches
from .profile import correct_depth
from .spread import Spreader
from .topology import symmetric_triangles


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
        part = (low + high) / 2
        handles = lid_motion(cage.vertices, cage.bags, cage.eye_center, LidTravel(part, part), cage.folds)
        opening = cage.vertices[upper] + handles[upper] - cage.vertices[lower] - handles[lower]
        low, high = (part, high) if np.linalg.norm(opening) > FISSURE else (low, part)
    moved = cage.spreader.fill(handles, LID_REACH)
    vertices = cage.vertices + moved + (moved * MIRROR)[cage.mirror]
    placed = place_folds(vertices, cage.folds, cage.eye_center)
    return replace(cage, vertices=smoothed_folds(placed, cage.faces, cage.folds))


def build_cage(base: Base) -> Cage:
    """Build the cage from the mean face."""
    return _relax_lids(_assemble(replace(base, points=correct_depth(base.points))))
