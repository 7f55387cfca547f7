"""Which vertices belong to what, and plausible colours for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import scipy.sparse as sparse

from .cage import Cage
from .indices import (
    BROW_LOWER,
    BROW_UPPER,
    CREASE_LOWER,
    CREASE_UPPER,
    FACE_POINTS,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
)
from .lids import LOOP
from .mesh import MIRROR, Floats, smoothstep
from .parts import Part

SKIN = (0.82, 0.66, 0.57)
_LIP, _LASH, _BROW = (0.70, 0.36, 0.34), (0.38, 0.26, 0.22), (0.34, 0.24, 0.19)
_SOCK = ((0.62, 0.28, 0.28), (0.50, 0.22, 0.22), (0.34, 0.15, 0.15), (0.25, 0.11, 0.11), (0.19, 0.08, 0.08))
_BAG, _CAP, _DARK = (0.75, 0.50, 0.45), (0.15, 0.06, 0.06), (0.36, 0.20, 0.17)
_INSIDE = 0.45  # share of hidden cage vertices from which a subdivided vertex counts as hidden
_LIP_REDNESS = (0.35, 0.9, 1.0, 1.0)  # from the outer row to the contact line
_NOSTRIL = (79, 238, 239, 241, 20, 242)


def _soft(cage: Cage, ids: Iterable[int]) -> Floats:
    """Indicator [C] of cage vertices and their mirror images."""
    mask = np.zeros(len(cage.vertices))
    own = np.array(sorted(set(ids)))
    mask[own] = mask[cage.mirror[own]] = 1
    return mask


def skin_masks(cage: Cage, subdivide: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Bool masks [N] of the subdivided skin by region name."""
    points = subdivide @ cage.vertices
    x, y, z = points.T

    def inside(ids: Iterable[int], share: float) -> np.ndarray:
        return subdivide @ _soft(cage, ids) > share

    sock = inside([cage.sock_cap, *(index for rings in cage.sock.values() for index in rings)], _INSIDE)
    bags = inside((index for rings in cage.bags.values() for index in rings), _INSIDE)
    face = (inside(range(FACE_POINTS), 0.6) | bags) & ~sock
    lip_rows = [index for row in LIP_UPPER + LIP_LOWER for index in row]
    lid_rows = LID_UPPER + LID_LOWER + CREASE_UPPER + CREASE_LOWER
    rest = ~face & ~sock
    masks = {
        "face": face,
        "forehead": face & (y > 3.2),
        "nose": face & (np.abs(x) < 2) & (y < 0) & (y > -5.6) & (z > 0.6),
        "lips": inside(lip_rows, 0.75) & face,
        "eyelids": inside(lid_rows, 0.7) & face | bags,
        "scalp": rest & (y >= -3) & ((z < -6) | (y > 4)),
        "neck": rest & (y >= -18) & (y < -9.5),
        "torso": rest & (y < -18),
        "mouth_interior": sock,
        "lid_interior": bags,
        "skin": ~sock,
    }
    for side, centre in (("right", cage.eye_centre), ("left", cage.eye_centre * MIRROR)):
        masks[f"{side}_eye_region"] = face & ((((points - centre)[:, :2] / [2.6, 1.9]) ** 2).sum(1) < 1)
    return masks


def all_masks(skin: dict[str, np.ndarray], parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """Masks [V] of the whole head; each part is its own region, ears are skin too."""
    count = len(skin["face"])
    total = count + sum(len(part.vertices) for part in parts)
    masks = {name: np.concatenate([mask, np.zeros(total - count, bool)]) for name, mask in skin.items()}
    start = count
    for part in parts:
        own = np.zeros(total, bool)
        own[start : start + len(part.vertices)] = True
        start += len(part.vertices)
        masks[part.name] = own
        if part.name.endswith("_ear"):
            masks["skin"] |= own
    return masks


def _brow_shade(cage: Cage, points: Floats) -> Floats:
    """How much of a brow each point [N,3] is, 0..1: inside the outline of its landmarks, seen from the front."""
    shade = np.zeros(len(points))
    for mirror in (False, True):
        lower = cage.mirrored(BROW_LOWER) if mirror else list(BROW_LOWER)
        upper = cage.mirrored(BROW_UPPER) if mirror else list(BROW_UPPER)
        outline = cage.vertices[lower + upper[::-1], :2].astype(np.float32)
        depth = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in points[:, :2]]
        shade += smoothstep(-0.25, 0.1, np.array(depth)) * (points[:, 2] > -4)
    return np.clip(shade, 0, 1)


def _paint(colors: Floats, shade: Floats, color: Sequence[float]) -> None:
    colors += shade[:, None] * (np.array(color) - colors)


def skin_colors(cage: Cage, subdivide: sparse.csr_matrix) -> Floats:
    """Colours [N,3] sRGB of the subdivided skin."""
    painted = np.tile(SKIN, (len(cage.vertices), 1)).astype(float)
    for upper, lower, redness in zip(LIP_UPPER, LIP_LOWER, _LIP_REDNESS, strict=True):
        _paint(painted, _soft(cage, upper + lower) * redness, _LIP)
    for rings in cage.sock.values():
        painted[rings] = _SOCK
    painted[cage.sock_cap] = _CAP
    painted[[index for rings in cage.bags.values() for index in rings]] = _BAG
    _paint(painted, _soft(cage, LOOP) * 0.8, _LASH)
    colors = subdivide @ painted
    points = subdivide @ cage.vertices
    _paint(colors, _brow_shade(cage, points) * 0.9, _BROW)
    nostril = cage.vertices[list(_NOSTRIL)].mean(0)
    for centre in (nostril, nostril * MIRROR):
        _paint(colors, 0.8 * smoothstep(0.45, 0.15, np.linalg.norm(points - centre, axis=1)), _DARK)
    return colors
