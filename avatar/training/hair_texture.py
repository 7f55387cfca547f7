"""Hair that no frame shows: which way it falls, and how its color differs from strand to strand.

The prior of heads (`avatar.model.prior`) gives one smooth color; seen hair has lighter and darker strands. Hair falls
from the crown along the head, so the noise is fine around the axis through the crown and coarse along it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from avatar.geometry.rotations import matrix_to_quat, triangle_frames
from avatar.head.model import HeadModel
from avatar.training.hair_height import hair_vertices
from avatar.training.mesh_sampling import BACKWARD, SurfaceSamples
from avatar.types import LocalGaussians

Floats = NDArray[np.float64]

#: Center of the head and direction of the crown from it, skull frame: meters, unit.
CENTER = np.array([0.0, 0.0, -0.08])
CROWN = np.array([0.0, 0.8, -0.6])
#: Standard deviations of a strand along and across its direction, relative to those of a round Gaussian.
STRAND = (1.6, 0.25)
#: Share of the fall straight down in the direction of hair; the rest is away from the crown.
GRAVITY = 0.5
#: Strands and locks: cells around the axis and along a meridian, and the part of each in the noise.
STRANDS = (360, 10, 0.5)
LOCKS = (60, 6, 0.5)
#: Quantiles of the differences of seen hair that unseen hair has; the others are highlights and errors.
QUANTILES = (0.05, 0.95)
#: Seen Gaussians lie over each other, and differ more than the hair that they show.
STRENGTH = 0.7
#: Fewest seen Gaussians that say what hair looks like.
FEWEST = 50


def flow(points: Floats, normals: Floats) -> Floats:
    """Direction [n,3] in which hair falls at `points` [n,3] of a scalp with unit `normals` [n,3]; skull frame, unit."""
    away = points - CENTER
    along = away @ CROWN
    away = away - along[:, None] * CROWN
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    radius = np.maximum(np.linalg.norm(points - CENTER, axis=1, keepdims=True), 1e-6)
    meridian = along[:, None] / radius * away - np.sqrt(np.clip(1 - (along[:, None] / radius) ** 2, 0, 1)) * CROWN
    wanted = (1 - GRAVITY) * meridian + GRAVITY * np.array([0.0, -1.0, 0.0])
    tangent = wanted - (wanted * normals).sum(1, keepdims=True) * normals
    unit: Floats = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    return unit


def strand_noise(points: Floats) -> Floats:
    """Smooth noise [n], 0..1 and uniform over the head, for `points` [n,3] meters, skull frame; always the same."""
    rng = np.random.default_rng(0)
    away = points - CENTER
    across = np.cross(CROWN, [1.0, 0.0, 0.0])
    turn = np.arctan2(away[:, 0], away @ across) / (2 * np.pi) % 1
    radius = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    fall = np.arccos(np.clip(away @ CROWN / radius, -1, 1)) / np.pi
    noise = np.zeros(len(points))
    for around, down, part in (STRANDS, LOCKS):
        grid = rng.standard_normal((around, down + 1))
        noise += part * map_coordinates(grid, [turn * around, fall * down], order=1, mode="grid-wrap")
    rank: Floats = (np.argsort(np.argsort(noise, kind="stable")) + 0.5) / max(len(noise), 1)
    return rank


def strand_colors(smooth: Floats, points: Floats, colors: Floats, weight: Floats) -> Floats:
    """Colors [n,3] of hair: the `smooth` ones, lighter and darker as those of seen hair are.

    Args:
        smooth: [n,3] colors 0..1 without strands.
        points: [n,3] meters, skull frame.
        colors: [n,3] the present ones.
        weight: [n] how well each is seen; 0: it says nothing.
    """
    rows = np.flatnonzero(weight)
    if len(rows) < FEWEST:
        return smooth
    ratio = (colors[rows].sum(1) + 0.03) / (smooth[rows].sum(1) + 0.03)
    order = np.argsort(ratio)
    share = np.cumsum(weight[rows][order]) / weight[rows].sum()
    low, high = QUANTILES
    wanted = np.interp(low + (high - low) * strand_noise(points), share, ratio[order])
    textured: Floats = smooth * wanted[:, None] ** STRENGTH
    return textured


def as_strands(local: LocalGaussians, head: HeadModel, samples: SurfaceSamples) -> LocalGaussians:
    """`local` with the Gaussians on the back of the scalp as long as strands of hair, in the direction of its fall.

    Args:
        local: of the `samples`.
        head: the baked head.
        samples: on the mesh, hair above it.
    """
    corners = head.v_template.double()[head.faces[torch.from_numpy(samples.face)]]
    frames = triangle_frames(corners).numpy()
    normals = frames[:, :, 2]
    hair = hair_vertices(head).numpy()[head.faces.numpy()[samples.face]].all(1)
    on_hair = hair & (np.abs(samples.offset[:, :2]).max(1) == 0) & (samples.offset[:, 2] > 0)
    rows = np.flatnonzero(on_hair & (normals[:, 2] < BACKWARD))
    points = (corners.numpy()[rows] * samples.bary[rows, :, None]).sum(1)
    turn = strand_quats(frames[rows], flow(points, normals[rows]), normals[rows])
    quats, log_scales = local.quats.clone(), local.log_scales.clone()
    quats[rows] = torch.from_numpy(turn).float()
    log_scales[rows, :2] += torch.tensor(STRAND).log()
    return replace(local, quats=quats, log_scales=log_scales)


def strand_quats(frames: Floats, down: Floats, normals: Floats) -> Floats:
    """Rotations [n,4] wxyz in the `frames` [n,3,3] of triangles: first axis `down` [n,3], third one `normals` [n,3]."""
    axes = np.stack([down, np.cross(normals, down), normals], 2)
    turn: Floats = matrix_to_quat(torch.from_numpy(np.einsum("nji,njk->nik", frames, axes))).numpy()
    return turn
