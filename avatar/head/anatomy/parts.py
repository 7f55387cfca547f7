"""Separate meshes inside the skin at final resolution: common data structures (stage S7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .mesh import MIRROR, Floats, Ints, grid_faces


@dataclass(frozen=True)
class Part:
    """One separate mesh of the head, laid out as a grid so that its texture island is a disc or a rectangle."""

    name: str  # of its region
    vertices: Floats  # [P,3] cm
    faces: Ints  # [Q,3]
    colors: Floats  # [P,3] sRGB 0..1
    flat: Floats  # [P,2] its texture island, any unit
    half: tuple[Ints, Ints]  # ids [H] of the vertices kept at half density, ascending, and faces [G,3] of these H
    follows: tuple[tuple[int, float], ...]  # landmarks and weights of the mean identity motion that moves the part
    jaw_weights: Floats  # [P]
    joint: int | None = None  # index of the joint it is rigidly bound to
    shapes: dict[str, Floats] = field(default_factory=dict)  # expression -> displacements [P,3], gains not applied
    regions: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # masks [P] of further regions

    def mirrored(self, name: str, follows: tuple[tuple[int, float], ...], joint: int | None = None) -> Part:
        """The same part on the other, the left side."""
        return replace(
            self,
            name=name,
            vertices=self.vertices * MIRROR,
            faces=self.faces[:, ::-1].copy(),
            flat=self.flat * [-1, 1],
            half=(self.half[0], self.half[1][:, ::-1].copy()),
            follows=follows,
            joint=joint,
            shapes={shape.replace("Right", "Left"): move * MIRROR for shape, move in self.shapes.items()},
        )


@dataclass(frozen=True)
class Grid:
    """Layout of a part's vertices: row by row, then a pole that closes the first or the last row by a fan."""

    rows: int
    columns: int
    closed: bool  # the last column joins the first
    pole_at: int | None = None  # row closed by the pole, 0 or rows - 1; the pole is the last vertex

    def faces(self) -> Ints:
        """Triangles [Q,3] at full density."""
        return self.subset(range(self.rows), range(self.columns))[1]

    def subset(self, rows: Sequence[int], columns: Sequence[int]) -> tuple[Ints, Ints]:
        """Ids [H] of the vertices in these rows and columns and of the pole, triangles [G,3] among them."""
        grid = np.array(rows)[:, None] * self.columns + np.array(columns)
        faces = grid_faces(len(rows), len(columns), self.closed)
        if self.pole_at is None:
            return grid.ravel(), faces
        ids = np.append(grid.ravel(), self.rows * self.columns)
        place = 0 if self.pole_at == 0 else len(rows) - 1
        ring = place * len(columns) + np.arange(len(columns))
        after = np.roll(ring, -1) if self.pole_at == 0 else np.roll(ring, 1)
        before = ring
        pole = np.full(len(columns), len(ids) - 1)
        return ids, np.vstack([faces, np.stack([before, after, pole], -1)])


def flip(part: Part) -> Part:
    """The part with the opposite winding."""
    ids, faces = part.half
    return replace(part, faces=part.faces[:, ::-1].copy(), half=(ids, faces[:, ::-1].copy()))


def mean_of(landmarks: Sequence[int]) -> tuple[tuple[int, float], ...]:
    """Equal weights for landmarks."""
    return tuple((int(index), 1 / len(landmarks)) for index in landmarks)


def polar(radii: Sequence[float], angles: Floats) -> Floats:
    """Disc coordinates [R*A,2] of a polar grid, ring by ring."""
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    return (np.array(radii)[:, None, None] * circle).reshape(-1, 2)
