"""Texture coordinates from a user's template .obj, with room found in it for teeth, tongue and the mouth's inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avatar.errors import HeadsplatError
from avatar.head.wavefront import read_text

from .surface import Floats, Ints
from .unwrap import Island, in_box

_GRID = 256  # cells a side of the square in which free room is looked for
_LARGEST, _SMALLEST = 40, 3  # cells a side of an island's box


def textured(path: Path, faces: Ints, islands: Sequence[Island]) -> tuple[Floats, Ints]:
    """Coordinates [U,2] and faces: the template's for `faces` [F,3], the islands in what it leaves free.

    Raises:
        HeadsplatError: no such file, not a triangle mesh with texture coordinates, or of another mesh.
    """
    uv, found = _read(path)
    by_corners = {tuple(sorted(corners)): (corners, marks) for corners, marks in found}
    rows = []
    for face in faces.tolist():
        match = by_corners.get(tuple(sorted(face)))
        if match is None:
            raise HeadsplatError(f"{path}: has no face with the vertices {face}; give the template of this head")
        rows.append([match[1][match[0].index(corner)] for corner in face])
    places, all_faces = [uv], [np.array(rows, np.int64)]
    start = len(uv)
    for island, box in zip(islands, _free_boxes(uv, all_faces[0], len(islands)), strict=True):
        places.append(in_box(island, np.array([box[2], box[2]])) + box[:2])
        all_faces.append(island.uv_faces + start)
        start += len(places[-1])
    return np.vstack(places), np.vstack(all_faces)


def _read(path: Path) -> tuple[Floats, list[tuple[list[int], list[int]]]]:
    """Texture coordinates and, for each face, its vertices and texture corners (counted from 0)."""
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such texture template; give a .obj file")
    uv, faces = [], []
    try:
        for line in read_text(path).splitlines():
            kind, *words = line.split() or [b""]
            if kind == b"vt":
                uv.append([float(words[0]), float(words[1])])
            elif kind == b"f":
                pairs = [word.split(b"/") for word in words]
                faces.append(([int(pair[0]) - 1 for pair in pairs], [int(pair[1]) - 1 for pair in pairs]))
        coordinates = np.array(uv, float).reshape(-1, 2)
    except (ValueError, IndexError):
        raise HeadsplatError(f"{path}: no triangles with texture coordinates; give FLAME's template") from None
    corners = [corner for _, marks in faces for corner in marks]
    if not corners or any(len(face) != 3 for face, _ in faces) or not 0 <= min(corners) <= max(corners) < len(uv):
        raise HeadsplatError(f"{path}: no triangles with texture coordinates; give FLAME's head_template.obj")
    if not -1e-3 <= coordinates.min() <= coordinates.max() <= 1.001:  # nor is a NaN
        raise HeadsplatError(f"{path}: texture coordinates outside 0..1; give a template of one tile")
    return np.clip(coordinates, 0, 1), faces


def _free_boxes(uv: Floats, faces: Ints, count: int) -> list[tuple[float, float, float]]:
    """`count` empty squares (left, bottom, side) of the texture, the largest that fit."""
    taken = np.zeros((_GRID, _GRID), np.uint8)
    for triangle in (uv[faces] * _GRID).astype(np.int32):
        cv2.fillConvexPoly(taken, triangle, 1)
    taken = cv2.dilate(taken, np.ones((3, 3), np.uint8))
    boxes: list[tuple[float, float, float]] = []
    side = _LARGEST
    while len(boxes) < count:
        sums = cv2.integral(taken)
        filled = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        free = np.argwhere(filled == 0)
        if len(free):
            row, column = free[0]
            taken[row : row + side, column : column + side] = 1
            boxes.append(((column + 0.5) / _GRID, (row + 0.5) / _GRID, (side - 1) / _GRID))
        elif side > _SMALLEST:
            side -= 1
        else:
            raise HeadsplatError("the texture template leaves no room for teeth and tongue; load without one")
    return boxes
