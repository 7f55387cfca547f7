"""Wavefront files of ICT-FaceKit: quads with texture coordinates, grouped by material."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.wavefront import read_text

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_COORDINATE = 1e9  # in the file's unit; its square must stay finite
_MAX_TILES = 100  # texture tiles (UDIM) per side


@dataclass(frozen=True)
class Mesh:
    """A triangulated mesh."""

    vertices: Floats  # [V,3] in the file's unit
    faces: Ints  # [F,3]
    uv: Floats  # [U,2]; a single (0,0) where the file has none
    uv_faces: Ints  # [F,3]
    materials: tuple[str, ...]
    material: Ints  # [F] index into `materials`, -1 without a material


def read_vertices(path: Path, count: int | None = None) -> Floats:
    """The vertices [V,3] of an obj file; V must equal `count` where it is given.

    Raises:
        HeadsplatError: the file is missing, is not an obj, or has another number of vertices.
    """
    lines = [line[2:] for line in read_text(path).splitlines() if line.startswith(b"v ")]
    if not lines:
        raise HeadsplatError(f"{path}: not a Wavefront mesh, it has no vertices; copy the file again")
    try:
        vertices = np.array(b" ".join(lines).split(), np.float64).reshape(len(lines), -1)[:, :3]
    except ValueError as error:
        raise HeadsplatError(f"{path}: a vertex is not three numbers; copy the file again") from error
    if vertices.shape[1] != 3 or not (np.abs(vertices) < _MAX_COORDINATE).all():
        raise HeadsplatError(
            f"{path}: not a Wavefront mesh, a vertex is not three numbers of a sensible size; copy the file again"
        )
    if count is not None and len(vertices) != count:
        raise HeadsplatError(
            f"{path}: has {len(vertices)} vertices, the neutral mesh {count}; take all files from one release"
        )
    return vertices


def read_mesh(path: Path) -> Mesh:
    """The mesh of an obj file; polygons become triangle fans.

    Raises:
        HeadsplatError: the file is missing or is not a mesh with faces.
    """
    vertices = read_vertices(path)
    uv: list[tuple[float, float]] = []
    corners: list[tuple[tuple[int, int], ...]] = []
    names: dict[str, int] = {}
    owner: list[int] = []
    current = -1
    try:
        for line in read_text(path).splitlines():
            key, _, rest = line.partition(b" ")
            if key == b"vt":
                across, up, *_ = rest.split()
                uv.append((float(across), float(up)))
            elif key == b"usemtl":
                current = names.setdefault(rest.strip().decode(errors="replace"), len(names))
            elif key == b"f":
                ring = [_corner(word) for word in rest.split()]
                corners += [(ring[0], ring[k], ring[k + 1]) for k in range(1, len(ring) - 1)]
                owner += [current] * (len(ring) - 2)
        table = np.array(corners, np.int64).reshape(-1, 3, 2)
        coordinates = np.array(uv or [(0.0, 0.0)], np.float64)
    except (ValueError, OverflowError) as error:
        raise HeadsplatError(f"{path}: a face or texture coordinate cannot be read; copy the file again") from error
    if not (np.abs(coordinates) <= _MAX_TILES).all():
        raise HeadsplatError(f"{path}: a texture coordinate is beyond {_MAX_TILES} tiles; copy the file again")
    faces = table[:, :, 0]
    uv_faces = np.maximum(table[:, :, 1], 0)
    if (
        not len(faces)
        or not 0 <= faces.min() <= faces.max() < len(vertices)
        or not -1 <= table[:, :, 1].min() <= uv_faces.max() < len(coordinates)
    ):
        raise HeadsplatError(f"{path}: its faces do not match its {len(vertices)} vertices; copy the file again")
    return Mesh(vertices, faces, coordinates, uv_faces, tuple(names), np.array(owner, np.int64))


def _corner(word: bytes) -> tuple[int, int]:
    """Vertex and texture index (from 0; -1 for none) of `7`, `7/9` or `7/9/3`."""
    parts = word.split(b"/")
    return int(parts[0]) - 1, int(parts[1]) - 1 if len(parts) > 1 and parts[1] else -1
