"""How far hair stands off the scalp, measured at the outlines of the mattes.

A point at some height above a vertex of the scalp can be hair only if all frames show it inside the matte. Where the
vertex is on the outline of the head, this bound is the height of the hair. Between such vertices, and on sides that no
frame shows, heights are the smoothest ones: `h` minimizes `sum over outline vertices (h - bound)^2 + sum over edges
SMOOTH (h_i - h_j)^2 + WEAK sum (h - typical)^2`, with height 0 at the hairline, and never above the bound.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.geometry.mesh_graph import graph_laplacian
from avatar.geometry.rotations import mean_rotation
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.head.shading import vertex_normals

Floats = NDArray[np.float64]

HAIR: tuple[Region, ...] = ("scalp", "hair_cap")
NO_HAIR: tuple[Region, ...] = ("face", "left_ear", "right_ear", "neck")
FRAMES = 24
#: Largest height and distance of two tried heights, meters.
HIGHEST = 0.075
STEP = 0.0025
#: A vertex is on the outline where the cosine of normal and ray is below this.
OUTLINE = 0.3
#: Outlines are between the heights; a bound at the largest height says nothing.
SMOOTH = 0.5
WEAK = 0.01
HAIRLINE = 10.0
#: Quantile of the bounds at outlines that is the typical height.
TYPICAL = 0.5


def hair_vertices(head: HeadModel) -> Tensor:
    """Mask [V] of the vertices that hair may cover; all False for heads without these regions."""
    return head.mask(*HAIR) & ~head.mask(*NO_HAIR)


def spread_frames(frames: TrainingFrames) -> list[int]:
    """Up to FRAMES frames spread evenly over the order of the yaw."""
    rotation = frames.camera.world_to_cam[:, :3, :3].double() @ frames.rotation.double()
    turned = (rotation @ mean_rotation(rotation).T)[:, 0, 2].numpy()
    order = np.argsort(turned, kind="stable")
    return sorted({int(order[k]) for k in np.linspace(0, len(order) - 1, min(FRAMES, len(order))).astype(int)})


def hair_heights(head: HeadModel, frames: TrainingFrames) -> Floats:
    """Heights [V] of the hair above the vertices of the neutral mesh, meters; 0 where there is no hair.

    Args:
        head: the baked head.
        frames: the training frames.
    """
    heights = np.zeros(len(head.v_template))
    mask = hair_vertices(head).numpy()
    rows = np.flatnonzero(mask)
    if not len(rows):
        return heights
    normals = vertex_normals(head.v_template.double(), head.faces)[rows]
    bound, outline = _bounds(head.v_template.double()[rows], normals, frames)
    known = outline & (bound < HIGHEST - STEP)
    if not known.any():
        return heights
    faces = head.faces.numpy()
    at_skin = np.unique(faces[mask[faces].any(1) & ~mask[faces].all(1)])
    line = np.isin(rows, at_skin)
    weight = known + WEAK + HAIRLINE * line
    target = np.where(known, bound, 0.0) + WEAK * np.quantile(bound[known], TYPICAL)
    system = sparse.diags(weight.astype(float)) + SMOOTH * graph_laplacian(faces, rows, len(mask))
    heights[rows] = np.minimum(splu(system.tocsc()).solve(target), bound).clip(0)
    return heights


def _bounds(points: torch.Tensor, normals: torch.Tensor, frames: TrainingFrames) -> tuple[Floats, NDArray[np.bool_]]:
    """Largest heights [n] above `points` [n,3] along `normals` [n,3] inside all mattes, and whether the point is on an
    outline [n] in a frame in which it has about this bound."""
    levels = torch.arange(0, HIGHEST, STEP, dtype=torch.float64)
    ladder = points + levels[:, None, None] * normals  # [H,n,3]
    bound = np.full(len(points), HIGHEST)
    tight = np.full(len(points), HIGHEST)
    for frame in spread_frames(frames):
        rotation = frames.rotation[frame].double()
        translation = frames.translation[frame].double()
        camera = frames.view(frame)
        matte = frames.alpha[frame].numpy() > 128
        world = ladder @ rotation.T + translation
        pixels = camera.project(world.reshape(-1, 3).float()).numpy().reshape(*ladder.shape[:2], 2)
        columns, lines = (np.floor(pixels[..., k]).astype(int) for k in (0, 1))
        framed = (columns >= 0) & (columns < camera.width) & (lines >= 0) & (lines < camera.height)
        inside = matte[lines.clip(0, camera.height - 1), columns.clip(0, camera.width - 1)] | ~framed
        left = ~inside
        exit_level = np.where(left.any(0), left.argmax(0) * STEP, HIGHEST)
        rays = camera.to_camera(world[0].float()).double()
        facing = (normals @ rotation.T @ camera.world_to_cam[0, :3, :3].double().T * rays).sum(1) / rays.norm(dim=1)
        bound = np.minimum(bound, exit_level)
        tight = np.where(facing.abs().numpy() < OUTLINE, np.minimum(tight, exit_level), tight)
    return bound, (tight < HIGHEST) & (tight <= bound + 2 * STEP)
