"""The avatar rendered at the frames of a capture, with variants for the baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import expression_features
from avatar.model.to_device import to_device
from avatar.rendering.backends import Rasterizer
from avatar.rendering.render import render
from avatar.types import Camera, Gaussians


def render_avatar_frame(
    avatar: Avatar,
    frames: TrainingFrames,
    index: int,
    static: tuple[Tensor, Tensor] | None = None,
    *,
    blend: bool = True,
    rasterizer: Rasterizer = "native",
) -> tuple[np.ndarray, np.ndarray]:
    """Render the avatar at an image of `frames`.

    Args:
        avatar: the avatar.
        frames: poses, expressions and cameras.
        index: the image.
        static: vertices [V,3] meters, skull frame, and features [F] in place of those of the frame: a head that never
            changes its expression.
        blend: False: without blendshapes.
        rasterizer: rasterizer that renders the avatar.

    Returns:
        Color [H,W,3] in 0..1 over white, and alpha [H,W].
    """
    with torch.no_grad():
        return rendered(frame_gaussians(avatar, frames, index, static, blend=blend), frames.view(index), rasterizer)


def frame_gaussians(
    avatar: Avatar,
    frames: TrainingFrames,
    index: int,
    static: tuple[Tensor, Tensor] | None = None,
    *,
    blend: bool = True,
) -> Gaussians:
    """Gaussians [1,N] of the avatar in the world at an image of `frames`; arguments as for `render_avatar_frame`."""
    vertices, features = static if static is not None else (frames.vertices(index), frames.features[index])
    weights = avatar.weights(features[None])
    if not blend:
        weights = torch.zeros_like(weights)
    head = frames.states.posed_head(avatar.rig, frames.step[index : index + 1])
    return assemble(avatar, replace(head, vertices=vertices[None]), avatar.blendshapes(weights))


def rendered(gaussians: Gaussians, camera: Camera, rasterizer: Rasterizer) -> tuple[np.ndarray, np.ndarray]:
    """Color [H,W,3] in 0..1 over white and alpha [H,W] of Gaussians [1,N] in a camera [1]."""
    with torch.no_grad():
        out = render(gaussians, camera, rasterizer=rasterizer)
    return out.rgb[0].clamp(0, 1).cpu().numpy(), out.alpha[0].cpu().numpy()


def head_vertices(head: HeadModel) -> Tensor:
    """Mask [V] of the vertices of the head without the torso."""
    return head.torso_weight() < 0.1


def head_pixels(chosen: Tensor, frames: TrainingFrames, index: int, camera: Camera | None = None) -> np.ndarray:
    """Pixels [n,2] of the `chosen` vertices [V] bool at image `index`, in `camera` [1] (None: that of the image)."""
    world = frames.vertices(index)[chosen] @ frames.rotation[index].T + frames.translation[index]
    return (camera or frames.view(index)).project(world).cpu().numpy()


def mean_expression(avatar: Avatar, capture: Capture) -> tuple[Tensor, Tensor]:
    """Skull-frame vertices [V,3] in meters and features [F] of the mean expression of the training frames."""
    params = avatar.with_identity(to_device(capture.params(capture.train_indices), avatar.offsets.device))
    mean = params[0]
    mean.expression[:] = params.expression.mean(0)
    mean.joint_rot[:] = params.joint_rot.mean(0)
    return avatar.head.skull_vertices(mean)[0], expression_features(mean)[0]
