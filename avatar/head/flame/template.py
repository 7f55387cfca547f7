"""Texture coordinates from a user's template .obj; islands of added parts go into free squares of the texture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avatar.errors import HeadsplatError
from avatar.head.wavefront import read_text

from .surface import Floats, Ints
from .unwrap import Island, in_box

_GRID = 256  # cells per side of the occupancy grid
_LARGEST = 40  # cells per side of an island's square
_SMALLEST = 3


def apply_template(path: Path, faces: Ints, islands: Sequence[Island]) -> tuple[Floats, Ints]:
    """Coordinates [U,2] and faces [F+N,3]: the template's for `faces` [F,3], the islands in its free squares.

    Raises:
        HeadsplatError: no such file, not a triangle mesh with texture coordinates, or not of this mesh.
    """
    uv, template_faces = _read(path)
    by_corners = {tuple(sorted(corners)): (corners, uv_corners) for corners, uv_corners in template_faces}
    rows = []
    for face in faces.tolist():
        match = by_corners.get(tuple(sorted(face)))
        if match is None:
            raise HeadsplatError(f"{path}: has no face with the vertices {face}; give the template of this head")
        rows.append([match[1][match[0].index(corner)] for corner in face])
    coordinates = [uv]
    all_faces = [np.array(rows, np.int64)]
    start = len(uv)
    for island, box in zip(islands, _free_boxes(uv, all_faces[0], len(islands)), strict=True):
        coordinates.append(in_box(island, np.array([box[2], box[2]])) + box[:2])
        all_faces.append(island.uv_faces + start)
        start += len(coordinates[-1])
    return np.vstack(coordinates), np.vstack(all_faces)


def _read(path: Path) -> tuple[Floats, list[tuple[list[int], list[int]]]]:
    """Texture coordinates [U,2] and, for each face, its vertex and texture indices (from 0)."""
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such texture template; give a .obj file")
    uv = []
    faces = []
    try:
        for line in read_text(path).splitlines():
            kind, *words = line.split() or [b""]
            if kind == b"vt":
                uv.append([float(words[0]), float(words[1])])
            elif kind == b"f":
                indices = [word.split(b"/") for word in words]
                faces.append(([int(index[0]) - 1 for index in indices], [int(index[1]) - 1 for index in indices]))
        coordinates = np.array(uv, float).reshape(-1, 2)
    except (ValueError, IndexError):
        raise HeadsplatError(f"{path}: no triangles with texture coordinates; give FLAME's template") from None
    corners = [corner for _, uv_corners in faces for corner in uv_corners]
    if not corners or any(len(face) != 3 for face, _ in faces) or not 0 <= min(corners) <= max(corners) < len(uv):
        raise HeadsplatError(f"{path}: no triangles with texture coordinates; give FLAME's head_template.obj")
    if not -1e-3 <= coordinates.min() <= coordinates.max() <= 1.001:  # also refuses NaN
        raise HeadsplatError(f"{path}: texture coordinates outside 0..1; give a template of one tile")
    return np.clip(coordinates, 0, 1), faces


def _free_boxes(uv: Floats, faces: Ints, count: int) -> list[tuple[float, float, float]]:
    """`count` empty squares (left, bottom, side) of the texture, the largest that fit."""
    occupied = np.zeros((_GRID, _GRID), np.uint8)
    for triangle in (uv[faces] * _GRID).astype(np.int32):
        cv2.fillConvexPoly(occupied, triangle, 1)
    occupied = np.asarray(cv2.dilate(occupied, np.ones((3, 3), np.uint8)), np.uint8)
    boxes: list[tuple[float, float, float]] = []
    side = _LARGEST
    while len(boxes) < count:
        sums = cv2.integral(occupied)
        filled = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        free = np.argwhere(filled == 0)
        if len(free):
            row, column = free[0]
            occupied[row : row + side, column : column + side] = 1
            boxes.append(((column + 0.5) / _GRID, (row + 0.5) / _GRID, (side - 1) / _GRID))
        elif side > _SMALLEST:
            side -= 1
        else:
            raise HeadsplatError("the texture template has no free area for teeth and tongue; load without a template")
    return boxes
