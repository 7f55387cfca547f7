"""Colors for Gaussians that the frames hardly show, from visible Gaussians around them.

A video from the front sees clothes and hair within a few degrees. Under the visible Gaussians lie others that
contribute a fraction of a pixel: their gradients are tiny but Adam scales them up, so their colors run into the limits.
From any other side they would show as pale, red or blue flecks.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.training.anchors import Anchors
from avatar.training.prediction import predict

#: Blend weight per frame, in pixels, from which on a Gaussian gives its color to its neighbors.
MIN_CONTRIBUTION = 1.0
#: Number of neighbors whose mean color counts, by their contribution.
NEIGHBORS = 8
#: Distances along the view count by this factor: a video from the front does not know them well.
DEPTH_FACTOR = 0.25
#: A Gaussian of a smaller contribution takes the color of its neighbors at once: most steps leave it unchanged.
HIDDEN = 0.05


@torch.no_grad()
def set_hidden_colors(avatar: Avatar, anchors: Anchors, frames: TrainingFrames, contribution: Tensor) -> None:
    """Anchor the colors of Gaussians without blendshapes to those of their visible neighbors; hidden ones take them.

    Args:
        avatar: its colors change.
        anchors: of the training.
        frames: the training frames.
        contribution: see `neighbor_colors`.
    """
    colors, first = neighbor_colors(avatar, frames, contribution), avatar.blendshapes.count
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
        their own colors where fewer than `NEIGHBORS` + 1 Gaussians are visible.
    """
    first = avatar.blendshapes.count
    colors, weight = avatar.colors[first:].detach(), contribution[first:]
    visible = torch.nonzero(weight > MIN_CONTRIBUTION)[:, 0]
    if len(visible) <= NEIGHBORS:
        return colors.clone()
    middle = torch.tensor([len(frames) // 2])
    place = frames.views(middle).to_camera(predict(avatar, frames, middle).means[0, first:])
    place[:, 2] *= DEPTH_FACTOR
    _, nearest = cKDTree(place[visible].cpu().numpy()).query(place.cpu().numpy(), NEIGHBORS + 1)
    rows = visible[torch.from_numpy(nearest).to(visible.device)]  # [M,NEIGHBORS + 1]
    shares = weight[rows] * (rows != torch.arange(len(colors), device=rows.device)[:, None])
    return (colors[rows] * shares[..., None]).sum(1) / shares.sum(1, keepdim=True)
