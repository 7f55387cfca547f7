"""Gaussians sampled on the surface of the head mesh, denser where the face moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.training.hair_height import hair_vertices

#: Sampling density of regions relative to skin; the first matching row counts.
DENSITY: tuple[tuple[tuple[Region, ...], float], ...] = (
    (("left_eyeball", "right_eyeball"), 1.2),
    (("teeth_upper", "teeth_lower", "tongue"), 0.8),
    (("lips_inner",), 4.0),
    (("mouth_interior",), 0.4),
    (("lips",), 3.0),
    (("eyelids",), 2.2),
    (("face",), 1.6),
)
BACK_DENSITY = 0.12
BACK_HAIR_DENSITY = 0.3
BACKWARD = -0.3  # a triangle is at the back where its normal points less to the front than this
#: Density of the rims of the lids before a mesh layer, and how far they reach inside, meters: the lid behind its rim is
#: in front of an eyeball that has no Gaussians, and never visible.
RIM_DENSITY = 4.0
RIM = 0.0025
THIN = 0.25
HAIR_LIFT = 0.003  # meters above the scalp


@dataclass
class SurfaceSamples:
    """Local Gaussians before training: n binding points on the mesh with offset, rotation and spacing."""

    face: np.ndarray  # [n] int, index of the triangle
    bary: np.ndarray  # [n,3] barycentric coordinates
    offset: np.ndarray  # [n,3] meters, in the frame of the triangle
    quat: np.ndarray  # [n,4] wxyz, relative to the frame of the triangle
    spacing: np.ndarray  # [n] meters between neighbors
    torso: np.ndarray  # [n] 0..1, skinning weight of the torso

    def __len__(self) -> int:
        return len(self.face)

    def __add__(self, other: SurfaceSamples) -> SurfaceSamples:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return SurfaceSamples(*(np.concatenate(pair) for pair in pairs))

    def take(self, rows: np.ndarray) -> SurfaceSamples:
        """The samples `rows`, in that order."""
        return SurfaceSamples(*(values[rows] for values in vars(self).values()))


def face_density(
    head: HeadModel, normals: np.ndarray, without: tuple[Region, ...] = (), thin: np.ndarray | None = None
) -> np.ndarray:
    """Sampling density [F] of each triangle relative to skin; 0 on the torso and on surfaces that are never visible.

    Args:
        head: the baked head.
        normals: [F,3] unit normals of the triangles.
        without: regions of a mesh layer, whose triangles get none.
        thin: [V] bool, vertices whose triangles get THIN times their density.
    """
    first = head.faces.numpy()[:, 0]
    density = np.ones(len(first))
    decided = np.zeros(len(first), bool)
    for names, value in DENSITY:
        rows = head.mask(*names).numpy()[first] & ~decided
        density[rows] = value
        decided |= rows
    if thin is not None:
        density[thin[first]] *= THIN
    backward = normals[:, 2] < BACKWARD
    density[~decided & backward] = BACK_DENSITY
    density[~decided & backward & hair_vertices(head).numpy()[head.faces.numpy()].all(1)] = BACK_HAIR_DENSITY
    density[head.mask("left_eyeball", "right_eyeball").numpy()[first] & (normals[:, 2] < 0.2)] = 0
    if without:
        density[head.mask(*without).numpy()[head.faces.numpy()].all(1)] = 0
        density[head.mask("eyelids").numpy()[first]] = RIM_DENSITY
        density[_inside_lids(head)] = 0
    density[head.torso_weight().numpy()[head.faces.numpy()].min(1) > 0.9] = 0
    return density


def _inside_lids(head: HeadModel) -> np.ndarray:
    """Mask [F] of the triangles of the lids that are further inside than RIM."""
    inside = head.mask("lid_interior").numpy()
    rim = head.mask("eyelids").numpy() & ~inside
    faces = head.faces.numpy()
    points = head.v_template.numpy()
    rows = np.flatnonzero(inside[faces].all(1))
    mask = np.zeros(len(faces), bool)
    if rim.any() and len(rows):
        mask[rows] = cKDTree(points[rim]).query(points[faces[rows]].mean(1))[0] > RIM
    return mask


def sample_mesh(
    head: HeadModel,
    count: int,
    rng: np.random.Generator,
    without: tuple[Region, ...] = (),
    thin: np.ndarray | None = None,
) -> SurfaceSamples:
    """`count` samples spread over the neutral mesh by area times density (systematic sampling).

    Args:
        head: the baked head.
        count: number of samples.
        rng: random numbers.
        without: regions that get none.
        thin: [V] bool, vertices whose triangles get fewer.
    """
    corners = head.v_template.numpy()[head.faces.numpy()].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    density = face_density(head, cross / np.maximum(length, 1e-12)[:, None], without, thin)
    cumulative = np.cumsum(0.5 * length * density)
    total = cumulative[-1]
    face = np.searchsorted(cumulative, (np.arange(count) + rng.random(count)) / count * total)
    face = np.minimum(face, len(density) - 1)
    root = np.sqrt(rng.random(count))
    second = rng.random(count)
    bary = np.stack([1 - root, root * (1 - second), root * second], 1)
    spacing = np.sqrt(total / count / np.maximum(density[face], 1e-3))
    offset = np.zeros((count, 3))
    scalp = (head.mask("scalp").numpy() & ~head.mask("face").numpy())[head.faces.numpy()[face, 0]]
    offset[scalp, 2] = HAIR_LIFT
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    torso = (head.torso_weight().numpy()[head.faces.numpy()[face]] * bary).sum(1)
    return SurfaceSamples(face, bary, offset, quat, spacing, torso)
