"""An opaque backing under skin and scalp: Gaussians that training neither moves nor fades.

No frame shows the sides and the back of most heads. Without a backing an orbit sees through the skin there, and onto
Gaussians inside the head that no frame rules out.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.geometry.rotations import triangle_frames
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE, Region
from avatar.head.shading import vertex_normals
from avatar.training.mesh_sampling import SurfaceSamples
from avatar.types import LocalGaussians

Floats = NDArray[np.float64]

#: Standard deviations along the surface, meters: the first wherever the head is thick enough, the others between.
SIZES = (0.008, 0.005, 0.003)
#: Depth below the mesh, and standard deviation along its normal, relative to these.
DEPTH = 0.7
THICKNESS = 0.15
#: A Gaussian is at least BELOW meters under the mesh up to so many standard deviations from its center.
EXTENT = 2.2
BELOW = 0.001
#: Logit of the opacity; no other Gaussian starts with it.
OPAQUE = math.log(0.99 / 0.01)
#: Lips, lids and ears have none: they open, or are thin.
WITHOUT: tuple[Region, ...] = (
    *INSIDE,
    "lips",
    "lips_inner",
    "eyelids",
    "lid_interior",
    "left_ear",
    "right_ear",
    "torso",
    "boundary",
)
#: Smallest distance of the center from the inside of mouth and eyes, meters.
CLEARANCE = 0.008
#: No Gaussian reaches this edge within EXTENT standard deviations: it would show in the open mouth, before the teeth.
OPENING: tuple[Region, ...] = ("lips_inner",)
MAX_TORSO = 0.9
#: Points of the mesh among which the places are chosen, per square meter.
DENSITY = 2e5
#: Largest number relative to the other Gaussians of an avatar: one of very few has none.
MOST = 0.15
#: No head is closed by fewer: their places are not even computed where fewer are allowed.
LEAST = 500


def backing_samples(head: HeadModel, most: int) -> SurfaceSamples:
    """The Gaussians of the backing, `SurfaceSamples.spacing` being their standard deviations; none if above `most`.

    Args:
        head: the baked head.
        most: their largest number.
    """
    if most < LEAST:
        none = np.zeros(0, np.int64)
        return SurfaceSamples(none, np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    vertices = head.v_template.double().numpy()
    faces = head.faces.numpy()
    corners = vertices[faces]
    torso = head.torso_weight().numpy()[faces]
    face, bary = _spread(corners, ~head.mask(*WITHOUT).numpy()[faces].any(1) & (torso.max(1) < MAX_TORSO))
    points = (corners[face] * bary[..., None]).sum(1)
    frames = triangle_frames(torch.from_numpy(corners[face])).numpy()
    outside = ~head.mask(*INSIDE, "lid_interior").numpy()
    normals = vertex_normals(head.v_template.double(), head.faces).numpy()[outside]
    skin = cKDTree(vertices[outside])
    clear = _distance(vertices[head.mask(*INSIDE).numpy()], points) > CLEARANCE
    to_opening = _distance(vertices[head.mask(*OPENING).numpy()], points)

    rows = np.zeros(0, np.int64)
    sizes = np.zeros(0)
    for size in SIZES:
        fits = clear & (to_opening > EXTENT * size) & _below(points, frames, size, skin, normals)
        if len(rows):
            distance, nearest = cKDTree(points[rows]).query(points)
            fits &= distance > sizes[nearest]
        chosen = _apart(points, np.flatnonzero(fits), size)
        rows = np.concatenate([rows, chosen])
        sizes = np.concatenate([sizes, np.full(len(chosen), size)])
    if len(rows) > most:
        rows, sizes = rows[:0], sizes[:0]
    offset = np.zeros((len(rows), 3))
    offset[:, 2] = -DEPTH * sizes
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (len(rows), 1))
    return SurfaceSamples(face[rows], bary[rows], offset, quat, sizes, (torso[face] * bary).sum(1)[rows])


def opaque(local: LocalGaussians, samples: SurfaceSamples) -> LocalGaussians:
    """`local` with the sizes and the opacity of the backing in its last rows, those of `samples`."""
    first = len(local) - len(samples)
    log_scales = local.log_scales.clone()
    logits = local.logit_opacities.clone()
    sizes = samples.spacing[:, None] * [1.0, 1.0, THICKNESS]
    log_scales[first:] = torch.from_numpy(np.log(sizes)).float()
    logits[first:] = OPAQUE
    return replace(local, log_scales=log_scales, logit_opacities=logits)


def _spread(corners: Floats, allowed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """Triangles [n] and barycentric coordinates [n,3] of points spread over the `allowed` ones of triangles [F,3,3]."""
    rng = np.random.default_rng(0)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.cumsum(0.5 * np.linalg.norm(cross, axis=1) * allowed)
    count = int(total[-1] * DENSITY)
    face = np.searchsorted(total, (np.arange(count) + 0.5) / max(count, 1) * total[-1])
    root = np.sqrt(rng.random(count))
    second = rng.random(count)
    return face, np.stack([1 - root, root * (1 - second), root * second], 1)


def _distance(vertices: Floats, points: Floats) -> Floats:
    """Distance [n] of points [n,3] from the nearest one of `vertices` [V,3], infinite without any."""
    return cKDTree(vertices).query(points)[0] if len(vertices) else np.full(len(points), np.inf)


def _below(points: Floats, frames: Floats, size: float, skin: cKDTree, normals: Floats) -> NDArray[np.bool_]:
    """Whether Gaussians of a size under `points` [n,3] stay below the mesh, [n].

    Args:
        points: meters, on the mesh.
        frames: [n,3,3] of their triangles.
        size: standard deviation along the surface, meters.
        skin: the vertices [V] of the surface.
        normals: [V,3] of these.
    """
    center = points - DEPTH * size * frames[:, :, 2]
    edges = [
        math.cos(angle) * frames[:, :, 0] + math.sin(angle) * frames[:, :, 1] for angle in np.arange(8) * math.pi / 4
    ]
    below = np.ones(len(points), bool)
    for place in (center, *(center + EXTENT * size * edge for edge in edges)):
        nearest = skin.query(place)[1]
        below &= ((place - skin.data[nearest]) * normals[nearest]).sum(1) < -BELOW
    return below


def _apart(points: Floats, rows: NDArray[np.int64], distance: float) -> NDArray[np.int64]:
    """Those of the `rows` of points [n,3] that are no nearer to an earlier one than `distance`."""
    free = np.ones(len(rows), bool)
    near = cKDTree(points[rows]).query_ball_point(points[rows], distance) if len(rows) else []
    chosen = []
    for index in range(len(rows)):
        if free[index]:
            chosen.append(index)
            free[near[index]] = False
    return rows[np.array(chosen, np.int64)]
