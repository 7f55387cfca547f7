"""Regions, plausible vertex colors and texture coordinates of an ICT-FaceKit mesh."""

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
#: regions from parts of the mesh; all others are transferred from the embedded head's nearest skin
_FROM_PARTS = ("skin", "teeth_upper", "teeth_lower", "tongue", "left_eyeball", "right_eyeball", *_INSIDE)
_GUMS = (0.62, 0.33, 0.33)
_TONGUE = (0.70, 0.36, 0.36)
_TEETH = (0.90, 0.88, 0.82)


@dataclass(frozen=True)
class Appearance:
    """Texture coordinates, regions and colors."""

    uv: Floats  # [U,2] 0..1
    uv_faces: Ints  # [F,3]
    regions: dict[str, Mask]  # name -> [V]
    colors: Floats  # [V,3] sRGB 0..1
    capabilities: frozenset[str]


def find_appearance(
    mesh: Mesh, vertices: Floats, parts: dict[str, Mask], labels: Ints, landmarks: Floats
) -> Appearance:
    """Texture coordinates, regions, colors and capabilities.

    Args:
        mesh: faces and texture coordinates.
        vertices: [V,3] meters.
        parts: masks [V] of the parts.
        labels: [V] connected component of each vertex.
        landmarks: [478,3] meters.

    Returns:
        The appearance of all V vertices.
    """
    uv, uv_faces = pack_tiles(mesh.uv, mesh.uv_faces)
    regions, colors = _from_embedded(vertices, parts, landmarks)
    tongue = _find_tongue(vertices, parts["gums_and_tongue"], labels)
    bones = {"teeth_lower": parts["jaw_bone"] & parts["teeth"], "teeth_upper": parts["skull_bone"] & parts["teeth"]}
    regions |= {**bones, "tongue": tongue}
    regions["mouth_interior"] = parts["mouth_socket"] | (parts["gums_and_tongue"] & ~tongue)
    colors[parts["gums_and_tongue"] | parts["mouth_socket"]] = _GUMS
    colors[tongue] = _TONGUE
    colors[parts["teeth"]] = _TEETH
    capabilities = {
        "arkit": True,
        "eyelids": True,
        "teeth": parts["teeth"].any(),
        "tongue": tongue.any(),
        "mouth_interior": regions["mouth_interior"].any(),
    }
    return Appearance(
        uv, uv_faces, regions, colors, frozenset(name for name, present in capabilities.items() if present)
    )


def pack_tiles(uv: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Pack the tiles (UDIM) of texture coordinates [U,2] and faces [F,3] into the unit square.

    The tile with most faces is the large one, the others lie along two of its sides. A coordinate on the border of two
    tiles that faces of both use is duplicated.
    """
    tiles = np.floor(uv[faces].mean(1)).astype(np.int64)
    distinct, tile, counts = np.unique(tiles, axis=0, return_inverse=True, return_counts=True)
    pairs = np.stack([faces, np.broadcast_to(tile.reshape(-1, 1), faces.shape)], -1).reshape(-1, 2)
    rows, new_faces = np.unique(pairs, axis=0, return_inverse=True)
    corner, size = _tile_layout(counts)
    inside = np.clip(uv[rows[:, 0]] - distinct[rows[:, 1]], 0, 1)
    return corner[rows[:, 1]] + inside * size[rows[:, 1], None], new_faces.reshape(faces.shape).astype(np.int64)


def _tile_layout(counts: Ints) -> tuple[Floats, Floats]:
    """Lower corner [K,2] and side [K] of each tile in the unit square, from its number of faces [K]."""
    others = len(counts) - 1
    if not others:
        return np.zeros((1, 2)), np.ones(1)
    cells = max(2, (others + 2) // 2)  # per side: a column and the rest of a row have 2 cells - 1
    edge = [(cells - 1, row) for row in range(cells)] + [(column, cells - 1) for column in range(cells - 1)]
    corner = np.zeros((len(counts), 2))
    size = np.full(len(counts), 1 / cells)
    large = int(counts.argmax())
    size[large] = (cells - 1) / cells
    corner[np.delete(np.arange(len(counts)), large)] = np.array(edge[:others], np.float64) / cells
    return corner, size


def _find_tongue(vertices: Floats, gums_and_tongue: Mask, labels: Ints) -> Mask:
    """The component of gums and tongue with the most vertices near the middle plane; gums are arches."""
    best = np.inf
    mask = np.zeros(len(vertices), bool)
    for label in np.unique(labels[gums_and_tongue]):
        component = gums_and_tongue & (labels == label)
        lateral = np.abs(vertices[component, 0])
        hollowness = lateral.mean() / max(lateral.max(), 1e-9)
        if hollowness < best:
            best = hollowness
            mask = component
    return mask


def _from_embedded(vertices: Floats, parts: dict[str, Mask], landmarks: Floats) -> tuple[dict[str, Mask], Floats]:
    """Skin regions and colors [V,3], transferred from the embedded head after warping the mesh to it by landmarks."""
    model = embedded_head()
    target = model.v_template.double().numpy()
    target_landmarks = model.landmarks(model.v_template[None])[0].double().numpy()
    warped = RBFInterpolator(landmarks[:468], target_landmarks[:468], smoothing=1e-4)(vertices)
    masks = {name: mask.numpy() for name, mask in model.regions.items()}
    colors = np.zeros((len(vertices), 3))
    regions = {name: np.zeros(len(vertices), bool) for name in masks}
    skin = np.any([parts[name] for name in _SKIN_PARTS], axis=0)
    outer = np.flatnonzero(masks["skin"] & ~np.any([masks[name] for name in _INSIDE], axis=0))
    nearest = outer[cKDTree(target[outer]).query(warped[skin])[1]]
    colors[skin] = model.colors.numpy()[nearest]
    for name, mask in masks.items():
        if name not in _FROM_PARTS:
            regions[name][skin] = mask[nearest]
    for side in ("left", "right"):
        eyeball = parts[f"eyeball_{side}"]
        target_eyeball = np.flatnonzero(masks[f"{side}_eyeball"])
        ball, target_ball = (_unit_ball(points) for points in (vertices[eyeball], target[target_eyeball]))
        colors[eyeball] = model.colors.numpy()[target_eyeball[cKDTree(target_ball).query(ball)[1]]]
        regions[f"{side}_eyeball"] = eyeball
    regions["skin"] = skin
    regions["lid_interior"] = parts["eye_socket_left"] | parts["eye_socket_right"]
    return regions, colors


def _unit_ball(points: Floats) -> Floats:
    """Points [N,3] relative to the center of their bounding box, scaled so that its longest side is 2."""
    low = points.min(0)
    high = points.max(0)
    return (points - (low + high) / 2) / ((high - low).max() / 2)
