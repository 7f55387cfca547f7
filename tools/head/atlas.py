"""Texture coordinates: the skin as one disc with an enlarged face, all other parts as islands (stage S12)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import spsolve

from avatar.head.anatomy.indices import OVAL
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints, clipped_cotangents, signed_areas

from .cage import Cage, face_vertices
from .cranium import SKULL_RINGS
from .lids import LOOP
from .lips import contact_loop

_FACE_RADIUS = 0.81  # of the disc
_SQUARENESS = 8  # power of the outlines' superellipses: 2 is a circle
_SKULL_PART = 0.8  # of the band around the face; neck and shoulders have the remainder
_ISLAND_HEIGHT = 0.10  # height of the strip with the islands at the bottom
_MARGIN = 0.004
#: enlarged areas of the face: center (mirrored), half-widths, cm
_DETAILED = (((3.15, 0.2, 0), (2.3, 1.9, 3)), ((0, -4.0, 2.5), (1.9, 1.8, 4)), ((0, -7.3, 1.5), (3.0, 1.8, 3)))
_ENLARGEMENT = 6.0  # reduction of the edge weights there
_HOLE_WEIGHT = 0.12
#: heights on the disc between which the midline is rounded down, see `_away_from_tie`
_MIDLINE_DOWN = (-0.745, 0.67)
_OFF_TIE = 1e-9  # of the disc's radius: 3e-5 of a stored unit, 10^6 times the solver's rounding error


def _square(direction: Floats) -> Floats:
    """Points [N,2] of the unit circle moved out to a rounded square."""
    return direction / ((direction**_SQUARENESS).sum(1, keepdims=True) ** (1 / _SQUARENESS))


def _skin_disc(cage: Cage, skin_faces: Ints) -> Floats:
    """Coordinates [C,2] in -1..1 of the skin without mouth and lid bags; NaN for other vertices.

    Rings are radial; the face is a harmonic map with positive weights into its convex outline, each hole closed by a
    virtual vertex (Tutte 1963, Floater 1997), so no triangle can flip.
    """
    angle = np.pi / 2 - np.arange(len(OVAL)) * 2 * np.pi / len(OVAL)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    border = _square(circle)
    outline = border * _FACE_RADIUS
    flat = np.full((len(cage.vertices), 2), np.nan)
    flat[list(OVAL)] = outline
    radii = np.interp(np.arange(1, len(cage.rings) + 1), (0, SKULL_RINGS, len(cage.rings)), (0, _SKULL_PART, 1))
    for part, ring in zip(radii, cage.rings, strict=True):
        flat[ring] = outline * (1 - part) + border * part
    holes = [list(LOOP), cage.mirrored(LOOP), contact_loop(cage.mirror)]
    inner = [index for index in face_vertices(cage) if index not in OVAL]
    solved = _harmonic(cage.vertices, skin_faces, holes, inner, flat)
    flat[inner] = solved
    middle = (cage.mirror == np.arange(len(flat))) & np.isfinite(flat[:, 1])
    flat[middle, 0] = _away_from_tie(flat[middle, 1])
    return flat


def _away_from_tie(height: Floats) -> Floats:
    """Horizontal coordinates [M] of midline vertices at `height` [M]: 0, shifted by `_OFF_TIE` to either side.

    The middle of the texture is a rounding tie of the 16-bit format (65535 / 2 = 32767.5). Without the shift the last
    bit of the solution decides it, and that bit depends on the processor's SIMD level. The stored file fixes the
    direction, because avatars refer to the head by its hash.
    """
    low, high = _MIDLINE_DOWN
    return np.where((height > low) & (height < high), -_OFF_TIE, _OFF_TIE)


def _reduce(weights: sparse.csr_matrix, vertices: Floats) -> sparse.csr_matrix:
    """Edge weights [V,V] reduced around eyes, nose and mouth: a harmonic map is larger where weights are smaller."""
    enlargement = np.ones(len(vertices))
    for center, widths in _DETAILED:
        for side in (np.ones(3), MIRROR):
            scaled = (vertices - np.array(center) * side) / np.array(widths)
            enlargement = np.maximum(enlargement, 1 + _ENLARGEMENT * np.exp(-((scaled**2).sum(1) ** 2)))
    scale = sparse.diags(1 / np.sqrt(enlargement))
    return (scale @ weights @ scale).tocsr()


def _harmonic(vertices: Floats, faces: Ints, holes: Sequence[list[int]], inner: list[int], flat: Floats) -> Floats:
    """Harmonic coordinates of the face.

    Args:
        vertices: [C,3] cm.
        faces: [F,3] of the skin.
        holes: vertex loops closed by a virtual vertex each.
        inner: I vertices to solve for.
        flat: [C,2] coordinates, valid on the outline.

    Returns:
        [I,2], each the weighted mean of its neighbors.
    """
    count = len(vertices)
    weights = _reduce(clipped_cotangents(vertices, faces), vertices).tolil()
    weights.resize((count + len(holes), count + len(holes)))
    for number, hole in enumerate(holes):
        for index in hole:
            weights[index, count + number] = weights[count + number, index] = _HOLE_WEIGHT
    matrix = weights.tocsr()
    free = np.array([*inner, *range(count, count + len(holes))])
    fixed = np.array(OVAL)
    system = sparse.diags(np.asarray(matrix.sum(1)).ravel()) - matrix
    solution = spsolve(system[free][:, free].tocsc(), matrix[free][:, fixed] @ flat[fixed])
    return solution[: len(inner)]


def _disc_of_rings(loop: Sequence[int], rings: dict[int, list[int]], inner_radius: float) -> dict[int, Floats]:
    """Flat coordinates [2] of a loop and the rings attached to it, inward from radius 1."""
    coordinates: dict[int, Floats] = {}
    for number, vertex in enumerate(loop):
        angle = -2 * np.pi * number / len(loop)
        direction = np.array([np.cos(angle), np.sin(angle)])
        chain = [vertex, *rings[vertex]]
        for depth, index in enumerate(chain):
            coordinates[index] = direction * (1 - (1 - inner_radius) * depth / (len(chain) - 1))
    return coordinates


def cage_atlas(cage: Cage) -> tuple[Floats, Ints, Ints]:
    """Texture coordinates of the cage: flat [U,2] in -1..1, their faces [F,3], the island of each vertex [U].

    Island 0 is the skin, 1 the mouth interior, 2 and 3 the right and left lid bags.
    """
    discs = [
        _disc_of_rings(contact_loop(cage.mirror), cage.sock, 0.2) | {cage.sock_cap: np.zeros(2)},
        _disc_of_rings(LOOP, cage.bags, 0.4),
        _disc_of_rings(cage.mirrored(LOOP), cage.bags, 0.4),
    ]
    hidden = np.zeros((3, len(cage.vertices)), bool)
    for island, (disc, loop) in enumerate(
        zip(discs, (contact_loop(cage.mirror), LOOP, cage.mirrored(LOOP)), strict=True)
    ):
        hidden[island, [index for index in disc if index not in loop]] = True
    owner = np.zeros(len(cage.faces), int)
    for island in range(3):
        owner[hidden[island][cage.faces].any(1)] = island + 1
    flats: list[Floats] = []
    uv_faces = np.zeros_like(cage.faces)
    islands: list[Ints] = []
    for island in range(4):
        chosen = owner == island
        ids, local = np.unique(cage.faces[chosen], return_inverse=True)
        uv_faces[chosen] = local.reshape(-1, 3) + sum(len(flat) for flat in flats)
        if island == 0:
            flats.append(_skin_disc(cage, cage.faces[chosen])[ids])
        else:
            flats.append(np.array([discs[island - 1][int(index)] for index in ids]))
        islands.append(np.full(len(ids), island))
    return np.vstack(flats), uv_faces, np.concatenate(islands)


def pack(skin: tuple[Floats, Ints, Ints], parts: Sequence[tuple[Floats, Ints]]) -> tuple[Floats, list[Floats]]:
    """Coordinates in 0..1: the skin's disc on top, all islands side by side below.

    Args:
        skin: from `cage_atlas`.
        parts: flat coordinates [P,2] and faces of each separate mesh.

    Returns:
        The skin's coordinates [U,2] and each part's; islands are flipped where needed so that areas are positive.
    """
    flat, faces, island = skin
    packed = flat.copy()
    top = island == 0
    height = 1 - _ISLAND_HEIGHT
    packed[top] = (flat[top] * 0.5 + 0.5) * [1, height - _MARGIN] + [0, _ISLAND_HEIGHT + _MARGIN]
    cells = 3 + len(parts)
    for number in range(1, 4):
        chosen = (island[faces] == number).all(1)
        packed[island == number] = _into_cell(flat, faces[chosen], number - 1, cells)[island == number]
    return packed, [_into_cell(part, tris, 3 + number, cells) for number, (part, tris) in enumerate(parts)]


def _into_cell(flat: Floats, faces: Ints, cell: int, cells: int) -> Floats:
    """Flat coordinates [P,2] stretched to one of the bottom strip's cells, mirrored if they are inverted."""
    if signed_areas(flat, faces).sum() < 0:
        flat = flat * [-1, 1]
    used = flat[np.unique(faces)]
    low = used.min(0)
    high = used.max(0)
    size = np.array([1 / cells - 2 * _MARGIN, _ISLAND_HEIGHT - 2 * _MARGIN])
    return (flat - low) / (high - low) * size + [cell / cells + _MARGIN, _MARGIN]
