"""Regions, plausible colors and a texture atlas for an ICT-FaceKit mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from avatar.head.embedded import embedded_head

from .obj import Floats, Ints, Mesh
from .parts import Mask

_INSIDE = ("mouth_interior", "lid_interior")
_SKIN_PARTS = ("face", "head_and_neck", "mouth_socket", "eye_socket_left", "eye_socket_right")
#: regions that are parts of the mesh; all others are read off the embedded head's nearest skin
_OWN = ("skin", "teeth_upper", "teeth_lower", "tongue", "left_eyeball", "right_eyeball", *_INSIDE)
_GUMS, _TONGUE, _TEETH = (0.62, 0.33, 0.33), (0.70, 0.36, 0.36), (0.90, 0.88, 0.82)


@dataclass(frozen=True)
class Look:
    """What does not move."""

    uv: Floats  # [U,2] 0..1
    uv_faces: Ints  # [F,3]
    regions: dict[str, Mask]  # name -> [V]
    colors: Floats  # [V,3] sRGB 0..1
    capabilities: frozenset[str]


def dressed(mesh: Mesh, vertices: Floats, parts: dict[str, Mask], pieces: Ints, marks: Floats) -> Look:
    """Regions, colors and atlas.

    Args:
        mesh: faces and texture coordinates.
        vertices: [V,3] meters.
        parts: masks [V] of the parts.
        pieces: [V] label of each connected piece.
        marks: [478,3] the landmarks on it, meters.
    """
    uv, uv_faces = packed(mesh.uv, mesh.uv_faces)
    regions, colors = _from_embedded(vertices, parts, marks)
    tongue = tongue_of(vertices, parts["gums_and_tongue"], pieces)
    bones = {"teeth_lower": parts["jaw_bone"] & parts["teeth"], "teeth_upper": parts["skull_bone"] & parts["teeth"]}
    regions |= {**bones, "tongue": tongue}
    regions["mouth_interior"] = parts["mouth_socket"] | (parts["gums_and_tongue"] & ~tongue)
    colors[parts["gums_and_tongue"] | parts["mouth_socket"]] = _GUMS
    colors[tongue] = _TONGUE
    colors[parts["teeth"]] = _TEETH
    abilities = {
        "arkit": True,
        "eyelids": True,
        "teeth": parts["teeth"].any(),
        "tongue": tongue.any(),
        "mouth_interior": regions["mouth_interior"].any(),
    }
    return Look(uv, uv_faces, regions, colors, frozenset(name for name, has in abilities.items() if has))


def packed(uv: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Texture coordinates within 0..1: the tile (UDIM) of most faces large, the others along two sides of it.

    A coordinate on the border of two tiles that faces of both use becomes two.
    """
    tiles = np.floor(uv[faces].mean(1)).astype(np.int64)
    kinds, tile, counts = np.unique(tiles, axis=0, return_inverse=True, return_counts=True)
    pairs = np.stack([faces, np.broadcast_to(tile.reshape(-1, 1), faces.shape)], -1).reshape(-1, 2)
    rows, new_faces = np.unique(pairs, axis=0, return_inverse=True)
    corner, size = _places_of_tiles(counts)
    inside = np.clip(uv[rows[:, 0]] - kinds[rows[:, 1]], 0, 1)
    return corner[rows[:, 1]] + inside * size[rows[:, 1], None], new_faces.reshape(faces.shape).astype(np.int64)


def _places_of_tiles(counts: Ints) -> tuple[Floats, Floats]:
    """Lower corner [K,2] and side [K] of each tile in the unit square; the one with most faces is the large one."""
    others = len(counts) - 1
    if not others:
        return np.zeros((1, 2)), np.ones(1)
    cells = max(2, (others + 2) // 2)  # along a side: a column of them and the rest of a row hold 2 cells - 1
    edge = [(cells - 1, row) for row in range(cells)] + [(column, cells - 1) for column in range(cells - 1)]
    corner, size = np.zeros((len(counts), 2)), np.full(len(counts), 1 / cells)
    large = int(counts.argmax())
    size[large] = (cells - 1) / cells
    corner[np.delete(np.arange(len(counts)), large)] = np.array(edge[:others], np.float64) / cells
    return corner, size


def tongue_of(vertices: Floats, gums_and_tongue: Mask, pieces: Ints) -> Mask:
    """The piece of gums and tongue that fills its middle: gums are arches."""
    best, mask = np.inf, np.zeros(len(vertices), bool)
    for piece in np.unique(pieces[gums_and_tongue]):
        own = gums_and_tongue & (pieces == piece)
        across = np.abs(vertices[own, 0])
        hollow = across.mean() / max(across.max(), 1e-9)
        if hollow < best:
            best, mask = hollow, own
    return mask


def _from_embedded(vertices: Floats, parts: dict[str, Mask], marks: Floats) -> tuple[dict[str, Mask], Floats]:
    """Regions of the skin and colors, read off the embedded head once the mesh is bent to it by the landmarks."""
    model = embedded_head()
    theirs = model.v_template.double().numpy()
    their_marks = model.landmarks(model.v_template[None])[0].double().numpy()
    bent = RBFInterpolator(marks[:468], their_marks[:468], smoothing=1e-4)(vertices)
    masks = {name: mask.numpy() for name, mask in model.regions.items()}
    colors = np.zeros((len(vertices), 3))
    regions = {name: np.zeros(len(vertices), bool) for name in masks}
    skin = np.any([parts[name] for name in _SKIN_PARTS], axis=0)
    outer = np.flatnonzero(masks["skin"] & ~np.any([masks[name] for name in _INSIDE], axis=0))
    nearest = outer[cKDTree(theirs[outer]).query(bent[skin])[1]]
    colors[skin] = model.colors.numpy()[nearest]
    for name, mask in masks.items():
        if name not in _OWN:
            regions[name][skin] = mask[nearest]
    for side in ("left", "right"):
        own, their = parts[f"eyeball_{side}"], np.flatnonzero(masks[f"{side}_eyeball"])
        ball, their_ball = (_unit_ball(points) for points in (vertices[own], theirs[their]))
        colors[own] = model.colors.numpy()[their[cKDTree(their_ball).query(ball)[1]]]
        regions[f"{side}_eyeball"] = own
    regions["skin"] = skin
    regions["lid_interior"] = parts["eye_socket_left"] | parts["eye_socket_right"]
    return regions, colors


def _unit_ball(points: Floats) -> Floats:
    """Points [N,3] about the middle of their box, as large as their largest half-side."""
    low, high = points.min(0), points.max(0)
    return (points - (low + high) / 2) / ((high - low).max() / 2)
