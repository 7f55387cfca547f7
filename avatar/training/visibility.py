"""What Gaussians contribute to training frames: their initial colors, and which of them a relocation may move.

A pixel is a sum of colors times blend weights, so the gradient by the colors sums what is in pixels by blend weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.ops.ordered_map import ordered_map
from avatar.reference import SplatOutput
from avatar.rendering.layer import splat_layer
from avatar.training.prediction import predict

Sums = TypeVar("Sums", bound=tuple[Tensor, ...])

#: Frames that give initial colors, and in which error and contribution are measured.
COLOR_FRAMES = 12
USE_FRAMES = 8
#: Error of a pixel: mean absolute difference of the color, plus this factor times that of alpha.
ALPHA_ERROR = 0.3
#: A Gaussian takes the color of the frames if it covers more pixels than this, and this fraction of them is matte.
_MIN_COVERAGE = 0.05
_MIN_MATTE = 0.05


def initialize_colors(avatar: Avatar, frames: TrainingFrames) -> Tensor:
    """Set the color of every Gaussian to the mean color of the pixels it covers in a few frames.

    Pixels count by their blend weight and matte. Gaussians that these frames hardly show (inside of the mouth, back of
    the head) keep the color of the head model; Gaussians that cover background become more transparent.

    Returns:
        Coverage [N]: pixels that each Gaussian covers in these frames, the sum of its blend weights.
    """
    count = len(avatar)
    color = avatar.colors.new_zeros(count, 3)
    (matte, coverage) = avatar.colors.new_zeros(2, count)
    chosen = np.linspace(0, len(frames) - 1, min(COLOR_FRAMES, len(frames))).astype(int).tolist()
    for weighted_color, weighted_matte, weight in _in_frames(_blend_sums, avatar, frames, chosen):
        color += weighted_color
        matte += weighted_matte
        coverage += weight
    fraction = matte / coverage.clamp_min(1e-6)
    covered = coverage > _MIN_COVERAGE
    with torch.no_grad():
        mean = color / matte.clamp_min(1e-4)[:, None]
        avatar.colors.copy_(torch.where((covered & (fraction > _MIN_MATTE))[:, None], mean, avatar.colors))
        change = ((fraction + 0.05) / (1.05 - fraction)).log()
        opacities = (avatar.logit_opacities + change).clamp(-3, 3)
        avatar.logit_opacities.copy_(torch.where(covered, opacities, avatar.logit_opacities))
    return coverage


def _in_frames(
    sums: Callable[[Avatar, TrainingFrames, int], Sums], avatar: Avatar, frames: TrainingFrames, chosen: Sequence[int]
) -> Iterator[Sums]:
    """`sums` of the frames `chosen`, in their order: on the CPU one frame a core."""
    threads = ops.kernel_threads() if avatar.offsets.device.type == "cpu" else 1
    return ordered_map(lambda: lambda index: sums(avatar, frames, index), chosen, threads)


def _blend_sums(avatar: Avatar, frames: TrainingFrames, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the pixels of a frame of blend weight times color [N,3], times matte [N], and alone [N]."""
    out, colors = _splat(avatar, frames, index)
    matte = frames.alpha[index][None].float() / 255
    image = frames.rgb[index][None].float() / 255 * matte[..., None]
    channels = torch.stack([matte, torch.ones_like(matte), torch.zeros_like(matte)], -1)
    (color_sum,) = torch.autograd.grad(out.rgb, colors, image, retain_graph=True)
    (matte_sum,) = torch.autograd.grad(out.rgb, colors, channels)
    return color_sum[0], matte_sum[0, :, 0], matte_sum[0, :, 1]


@dataclass(frozen=True)
class Use:
    """What each of N Gaussians does in some frames."""

    error: Tensor  # [N] error of the pixels times blend weight, summed over pixels, mean of the frames
    contribution: Tensor  # [N] blend weight, summed over pixels, mean of the frames


def measure(avatar: Avatar, frames: TrainingFrames, first: int) -> Use:
    """Error and contribution of the Gaussians in USE_FRAMES evenly spread frames, the first one at `first`."""
    count = len(frames)
    error, contribution = avatar.offsets.new_zeros(2, len(avatar))
    chosen = sorted({(first + count * k // USE_FRAMES) % count for k in range(USE_FRAMES)})
    for of_errors, weight in _in_frames(_error_sums, avatar, frames, chosen):
        error += of_errors
        contribution += weight
    return Use(error / len(chosen), contribution / len(chosen))


def _error_sums(avatar: Avatar, frames: TrainingFrames, index: int) -> tuple[Tensor, Tensor]:
    """Sums over the pixels of a frame of blend weight times error [N], and alone [N]."""
    out, colors = _splat(avatar, frames, index)
    matte = frames.alpha[index][None].float() / 255
    truth = frames.rgb[index][None].float() / 255 * matte[..., None]
    wrong = (out.rgb.detach() - truth).abs().mean(-1) + ALPHA_ERROR * (out.alpha.detach() - matte).abs()
    channels = torch.stack([wrong, torch.ones_like(wrong), torch.zeros_like(wrong)], -1)
    (sums,) = torch.autograd.grad(out.rgb, colors, channels)
    return sums[0, :, 0], sums[0, :, 1]


def _splat(avatar: Avatar, frames: TrainingFrames, index: int) -> tuple[SplatOutput, Tensor]:
    """The avatar in a frame, and the colors [1,N,3] of its Gaussians, by which the image is differentiable."""
    with torch.no_grad():
        gaussians = predict(avatar, frames, torch.tensor([index]))
    colors = (0.5 + SH_C0 * gaussians.sh[:, :, 0]).clamp_min(0).requires_grad_()
    camera = frames.view(index)
    out = ops.splat(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        colors,
        camera,
        with_depth=False,
        dilation=gaussians.dilation,
        layer=splat_layer(gaussians, camera),
    )
    return out, colors
