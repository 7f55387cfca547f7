"""Initial colors of the Gaussians from the training frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.rendering.layer import splat_layer
from avatar.training.prediction import predict

COLOR_FRAMES = 12
#: A Gaussian takes the color of the frames if it covers more pixels than this, and this fraction of them is matte.
_MIN_COVERAGE, _MIN_MATTE = 0.05, 0.05


def initialize_colors(avatar: Avatar, frames: TrainingFrames) -> Tensor:
    """Set the color of every Gaussian to the mean color of the pixels it covers in a few frames.

    Pixels count by their blend weight and matte. Gaussians that these frames hardly show (inside of the mouth, back of
    the head) keep the color of the head model; Gaussians that cover background become more transparent.

    Returns:
        Coverage [N]: pixels that each Gaussian covers in these frames, the sum of its blend weights.
    """
    count = len(avatar)
    color, (matte, coverage) = avatar.colors.new_zeros(count, 3), avatar.colors.new_zeros(2, count)
    for weighted_color, weighted_matte, weight in _blend_sums(avatar, frames):
        color += weighted_color
        matte += weighted_matte
        coverage += weight
    fraction = matte / coverage.clamp_min(1e-6)
    shown = coverage > _MIN_COVERAGE
    with torch.no_grad():
        mean = color / matte.clamp_min(1e-4)[:, None]
        avatar.colors.copy_(torch.where((shown & (fraction > _MIN_MATTE))[:, None], mean, avatar.colors))
        change = ((fraction + 0.05) / (1.05 - fraction)).log()
        opacities = (avatar.logit_opacities + change).clamp(-3, 3)
        avatar.logit_opacities.copy_(torch.where(shown, opacities, avatar.logit_opacities))
    return coverage


def _blend_sums(avatar: Avatar, frames: TrainingFrames) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Sums over the pixels of a frame of blend weight times color [N,3], times matte [N], and alone [N].

    A pixel is a sum of colors times blend weights, so these sums are gradients of the image by the colors.
    """
    count = len(avatar)
    for index in np.linspace(0, len(frames) - 1, min(COLOR_FRAMES, len(frames))).astype(int):
        with torch.no_grad():
            gaussians = predict(avatar, frames, torch.tensor([index]))
        colors = avatar.colors.new_zeros(1, count, 3, requires_grad=True)
        out = ops.splat(
            gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, colors, frames.view(index),
            dilation=gaussians.dilation, layer=splat_layer(gaussians, frames.view(index)),
        )  # fmt: skip
        matte = frames.alpha[index][None].float() / 255
        image = frames.rgb[index][None].float() / 255 * matte[..., None]
        channels = torch.stack([matte, torch.ones_like(matte), torch.zeros_like(matte)], -1)
        (color_sum,) = torch.autograd.grad(out.rgb, colors, image, retain_graph=True)
        (matte_sum,) = torch.autograd.grad(out.rgb, colors, channels)
        yield color_sum[0], matte_sum[0, :, 0], matte_sum[0, :, 1]
