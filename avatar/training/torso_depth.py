"""Depth of the Gaussians of torso and neck, which a video from the front hardly shows: smoothed over image neighbors.

The torso turns by a degree or two in most videos. Nothing then holds its Gaussians to one surface, and seen from a few
degrees above or below gaps open between them, most of all along the shoulders.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import CHANNELS
from avatar.training.prediction import predict

#: Blend weight per frame, in pixels, from which on a Gaussian counts as visible.
MIN_CONTRIBUTION = 0.5
#: Number of visible Gaussians in the image, the Gaussian included, whose median depth is the wanted one.
NEIGHBORS = 13
#: Fraction of the way to the wanted depth.
SHARE = 0.5
#: Skinning weight from which on a Gaussian belongs to the torso or the neck.
MIN_SKIN = 0.05
#: Meters by which an offset is moved to measure where it points.
_MOVE = 0.01


@torch.no_grad()
def smooth_torso_depth(avatar: Avatar, frames: TrainingFrames, contribution: Tensor) -> None:
    """Move visible Gaussians of torso and neck along their rays in the middle frame, towards their neighbors' depth.

    Args:
        avatar: its offsets change.
        frames: the training frames.
        contribution: [N] pixels, mean blend weight of each Gaussian in a frame, summed over pixels.
    """
    rows = torch.nonzero((avatar.rig.skin > MIN_SKIN) & (contribution > MIN_CONTRIBUTION))[:, 0]
    rows = rows[rows >= avatar.blendshapes.count]
    if len(rows) < NEIGHBORS:
        return
    middle = torch.tensor([len(frames) // 2])
    camera = frames.views(middle)
    world = predict(avatar, frames, middle).means[0, rows]
    seen = camera.to_camera(world)
    depth = seen[:, 2]
    place = (seen[:, :2] / depth[:, None]).cpu().numpy()
    _, nearest = cKDTree(place).query(place, NEIGHBORS)
    wanted = depth[torch.from_numpy(nearest).to(depth.device)].median(1).values
    moved = seen * (SHARE * (wanted / depth - 1))[:, None]  # [n,3] camera axes
    shift = moved @ camera.world_to_cam[0, :3, :3]
    avatar.offsets[rows] += torch.linalg.solve(_axes(avatar, frames, middle)[rows], shift[..., None])[..., 0]


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
