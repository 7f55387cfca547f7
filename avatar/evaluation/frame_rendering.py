"""The avatar rendered at the frames of a capture, with variants for the baselines."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.rendering.backends import Rasterizer
from avatar.rendering.render import render


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
    vertices, features = static if static is not None else (frames.vertices(index), frames.features[index])
    with torch.no_grad():
        weights = avatar.blendshapes.weights(features[None])
        if not blend:
            weights = torch.zeros_like(weights)
        step, poses = frames.step[index], frames.states.torso
        torso = None if poses is None else (poses[0][step][None], poses[1][step][None])
        gaussians = avatar.assemble(
            vertices[None], weights, frames.rotation[index][None], frames.translation[index][None], torso
        )
        out = render(gaussians, frames.view(index), rasterizer=rasterizer)
        return out.rgb[0].clamp(0, 1).numpy(), out.alpha[0].numpy()


def mean_expression(avatar: Avatar, capture: Capture) -> tuple[Tensor, Tensor]:
    """Skull-frame vertices [V,3] in meters and features [F] of the mean expression of the training frames."""
    params = avatar.with_identity(capture.params(capture.train_indices))
    mean = params[0]
    mean.expression[:] = params.expression.mean(0)
    mean.joint_rot[:] = params.joint_rot.mean(0)
    return avatar.head.skull_vertices(mean)[0], expression_features(mean)[0]
