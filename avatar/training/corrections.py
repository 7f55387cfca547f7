"""Corrections of what the frames hardly show, before a relocation: depth of torso and neck, and hidden colors.

The torso turns by a degree or two in most videos. Nothing then holds its Gaussians to one surface, and seen from a few
degrees above or below gaps open between them, most of all along the shoulders.

A video from the front sees clothes and hair within a few degrees. Under the visible Gaussians lie others that
contribute a fraction of a pixel: their gradients are tiny but Adam scales them up, so their colors run into the limits.
From any other side they would show as pale, red or blue flecks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import CHANNELS
from avatar.training.anchors import Anchors
from avatar.training.prediction import predict

#: Blend weight per frame, in pixels, from which on a Gaussian of the torso counts as visible.
DEPTH_CONTRIBUTION = 0.5
#: Number of visible Gaussians in the image, the Gaussian included, whose median depth is the wanted one.
DEPTH_NEIGHBORS = 13
#: Fraction of the way to the wanted depth.
SHARE = 0.5
#: Skinning weight from which on a Gaussian belongs to the torso or the neck.
MIN_SKIN = 0.05
#: Meters by which an offset is moved to measure where it points.
_MOVE = 0.01
#: Blend weight per frame, in pixels, from which on a Gaussian gives its color to its neighbors.
COLOR_CONTRIBUTION = 1.0
#: Number of neighbors whose mean color counts, by their contribution.
COLOR_NEIGHBORS = 8
#: Distances along the view count by this factor: a video from the front does not know them well.
DEPTH_FACTOR = 0.25
#: A Gaussian of a smaller contribution takes the color of its neighbors at once: most steps leave it unchanged.
HIDDEN = 0.05


@torch.no_grad()
def smooth_torso_depth(avatar: Avatar, frames: TrainingFrames, contribution: Tensor) -> None:
    """Move visible Gaussians of torso and neck along their rays in the middle frame, towards their neighbors' depth.

    Args:
        avatar: its offsets change.
        frames: the training frames.
        contribution: [N] pixels, mean blend weight of each Gaussian in a frame, summed over pixels.
    """
    rows = torch.nonzero((avatar.rig.skin > MIN_SKIN) & (contribution > DEPTH_CONTRIBUTION))[:, 0]
    rows = rows[rows >= avatar.blendshapes.count]
    if len(rows) < DEPTH_NEIGHBORS:
        return
    middle = torch.tensor([len(frames) // 2])
    camera = frames.views(middle)
    world = predict(avatar, frames, middle).means[0, rows]
    seen = camera.to_camera(world)
    depth = seen[:, 2]
    place = seen[:, :2] / depth[:, None]
    nearest = _neighbors(place, place, DEPTH_NEIGHBORS)
    wanted = depth[nearest].median(1).values
    moved = seen * (SHARE * (wanted / depth - 1))[:, None]  # [n,3] camera axes
    shift = moved @ camera.world_to_cam[0, :3, :3]
    avatar.offsets[rows] += torch.linalg.solve(_axes(avatar, frames, middle)[rows], shift[..., None])[..., 0]


def _neighbors(points: Tensor, places: Tensor, count: int) -> Tensor:
    """Indices [M,count] of the nearest of `points` [n,D] to each of `places` [M,D], nearest first."""
    tree = cKDTree(points.cpu().numpy())
    _, nearest = tree.query(places.cpu().numpy(), count, workers=ops.kernel_threads())
    return torch.from_numpy(nearest).to(places.device)


def _axes(avatar: Avatar, frames: TrainingFrames, frame: Tensor) -> Tensor:
    """Motion of each Gaussian in the world by its offset [N,3,3] in the frame [1] int; columns: axes of the offset."""
    head = frames.states.posed_head(avatar.rig, pick(frames.step, frame))
    still = avatar.offsets.new_zeros(1, avatar.blendshapes.count, CHANNELS)

    def means(shift: Tensor) -> Tensor:
        view = avatar.view(replace(avatar.local, offsets=avatar.offsets + shift))
        return assemble(view, head, still).means

    units = _MOVE * torch.eye(3, device=avatar.offsets.device)
    moved = torch.cat([means(unit) for unit in units])
    return ((moved - means(torch.zeros_like(units[0]))) / _MOVE).permute(1, 2, 0)


@torch.no_grad()
def set_hidden_colors(avatar: Avatar, anchors: Anchors, frames: TrainingFrames, contribution: Tensor) -> None:
    """Anchor the colors of Gaussians without blendshapes to those of their visible neighbors; hidden ones take them.

    Args:
        avatar: its colors change.
        anchors: of the training.
        frames: the training frames.
        contribution: see `neighbor_colors`.
    """
    colors = neighbor_colors(avatar, frames, contribution)
    first = avatar.blendshapes.count
    anchors.set_colors(colors)
    hidden = contribution[first:] < HIDDEN
    avatar.colors[first:][hidden] = colors[hidden]


@torch.no_grad()
def neighbor_colors(avatar: Avatar, frames: TrainingFrames, contribution: Tensor) -> Tensor:
    """Mean color of the visible Gaussians around each Gaussian without blendshapes.

    Args:
        avatar: the avatar.
        frames: the training frames; Gaussians are near one another as the middle one shows them.
        contribution: [N] pixels, mean blend weight of each Gaussian in a frame, summed over pixels.

    Returns:
        [M,3] for the M Gaussians after those with blendshapes, `avatar.colors` at `avatar.blendshapes.count` and on;
        their own colors where fewer than `COLOR_NEIGHBORS` + 1 Gaussians are visible.
    """
    first = avatar.blendshapes.count
    colors = avatar.colors[first:].detach()
    weight = contribution[first:]
    visible = torch.nonzero(weight > COLOR_CONTRIBUTION)[:, 0]
    if len(visible) <= COLOR_NEIGHBORS:
        return colors.clone()
    middle = torch.tensor([len(frames) // 2])
    place = frames.views(middle).to_camera(predict(avatar, frames, middle).means[0, first:])
    place[:, 2] *= DEPTH_FACTOR
    rows = visible[_neighbors(place[visible], place, COLOR_NEIGHBORS + 1)]  # [M,COLOR_NEIGHBORS + 1]
    shares = weight[rows] * (rows != torch.arange(len(colors), device=rows.device)[:, None])
    return (colors[rows] * shares[..., None]).sum(1) / shares.sum(1, keepdim=True)
