"""Vertex masks of the regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sparse

from avatar.head.anatomy.indices import CREASE_LOWER, CREASE_UPPER, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER
from avatar.head.anatomy.mesh import MIRROR, Floats, smoothstep
from avatar.head.anatomy.parts import Part

from .cage import Cage, face_vertices
from .lips import contact_loop

_INSIDE = 0.45  # subdivision weight of hidden cage vertices above which a vertex is hidden
#: depth and height of the hairline, from the nape over the ear to the temple and the middle of the forehead, cm
_HAIRLINE = (
    (-20, -9), (-13, -8.5), (-11.5, -6.5), (-10.2, -3.5), (-9.2, 1.2), (-7.2, 1.3), (-6.6, -0.4), (-6.0, -0.8),
    (-5.2, 1.0), (-4.0, 3.6), (-2.5, 5.6), (-0.5, 7.0), (1.0, 7.2),
)  # fmt: skip


def soft(cage: Cage, ids: Iterable[int]) -> Floats:
    """Indicator [C] of cage vertices and their mirror images."""
    mask = np.zeros(len(cage.vertices))
    chosen = np.array(sorted(set(ids)))
    mask[chosen] = mask[cage.mirror[chosen]] = 1
    return mask


def above_hairline(points: Floats) -> Floats:
    """Hair density [N] at points [N,3] of the skin, 0..1, with a transition of 8 mm."""
    z, height = np.array(_HAIRLINE).T
    return smoothstep(-0.4, 0.4, points[:, 1] - np.interp(points[:, 2], z, height))


def skin_masks(cage: Cage, subdivide: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Bool masks [N] of the subdivided skin by region name."""
    points = subdivide @ cage.vertices
    x, y, z = points.T

    def inside(ids: Iterable[int], weight: float) -> np.ndarray:
        return subdivide @ soft(cage, ids) > weight

    sock = inside([cage.sock_cap, *(index for rings in cage.sock.values() for index in rings)], _INSIDE)
    bags = inside((index for rings in cage.bags.values() for index in rings), _INSIDE)
    face = (inside(face_vertices(cage), 0.6) | bags) & ~sock
    lip_rows = [index for row in LIP_UPPER + LIP_LOWER for index in row]
    lid_rows = LID_UPPER + LID_LOWER + CREASE_UPPER + CREASE_LOWER
    contact = contact_loop(cage.mirror)
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
        "lips_inner": inside([*contact, *(cage.sock[index][0] for index in contact)], _INSIDE),
        "hair_cap": rest & (above_hairline(points) > 0.5),
        "boundary": inside(cage.rings[-1], 0.99),
        "skin": ~sock,
    }
    for side, center in (("right", cage.eye_center), ("left", cage.eye_center * MIRROR)):
        masks[f"{side}_eye_region"] = face & ((((points - center)[:, :2] / [2.6, 1.9]) ** 2).sum(1) < 1)
    masks["eye_region"] = masks["left_eye_region"] | masks["right_eye_region"]
    return masks


def all_masks(skin: dict[str, np.ndarray], parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """Masks [V] of the whole head; each part is a region and may belong to further ones."""
    count = len(skin["face"])
    total = count + sum(len(part.vertices) for part in parts)
    masks = {name: np.concatenate([mask, np.zeros(total - count, bool)]) for name, mask in skin.items()}
    start = count
    for part in parts:
        whole = {part.name: np.ones(len(part.vertices), bool)}
        for name, mask in {**whole, **part.regions}.items():
            masks.setdefault(name, np.zeros(total, bool))[start : start + len(part.vertices)] |= mask
        start += len(part.vertices)
    return masks
