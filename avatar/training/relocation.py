"""Relocation at a fixed count: Gaussians that contribute least move to where the images differ most.

After 3DGS-MCMC (Kheradmand et al. 2024), which moves transparent Gaussians and clones by opacity; here contribution and
error are measured in rendered frames (as in STAvatar), so that occluded Gaussians count as unused too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.rendering.layer import splat_layer
from avatar.training.adam import Optimizer
from avatar.training.anchors import Anchors
from avatar.training.prediction import predict

#: Steps between two relocations, and the part of the schedule in which they happen.
EVERY = 200
FIRST, LAST = 0.1, 0.75
#: Frames in which error and contribution are measured.
FRAMES = 8
#: Error of a pixel: mean absolute difference of the color, plus this factor times that of alpha.
ALPHA_ERROR = 0.3
#: A group of fewer Gaussians keeps them.
MIN_GROUP = 100
#: Both halves of a divided Gaussian are smaller than it was by this factor.
SHRINK = np.exp(-0.15)
#: Standard deviation of the offset between the halves, in standard deviations of the Gaussian: in the triangle's plane,
#: and along its normal.
SPREAD = (0.5, 0.5, 0.15)
#: Opacities of the halves stay in this range, where the gradient of the logit does not vanish.
MIN_OPACITY, MAX_OPACITY = 0.01, 0.99

#: Name of the optimizer group whose rows are the Gaussians with blendshapes.
WRINKLES = "wrinkles"


@dataclass(frozen=True)
class Use:
    """What each of N Gaussians does in some frames."""

    error: Tensor  # [N] error of the pixels times blend weight, summed over pixels, mean of the frames
    contribution: Tensor  # [N] blend weight, summed over pixels, mean of the frames


def relocation_due(steps: int, fraction: float) -> bool:
    """Whether Gaussians are to be relocated after `steps` steps, at `fraction` (0..1) of the schedule."""
    return steps % EVERY == 0 and FIRST < fraction < LAST


def measure(avatar: Avatar, frames: TrainingFrames, first: int) -> Use:
    """Error and contribution of the Gaussians in FRAMES evenly spread frames, the first one at `first`."""
    count = len(frames)
    error, contribution = avatar.offsets.new_zeros(2, len(avatar))
    chosen = sorted({(first + count * k // FRAMES) % count for k in range(FRAMES)})
    for index in chosen:
        with torch.no_grad():
            gaussians = predict(avatar, frames, torch.tensor([index]))
        colors = (0.5 + SH_C0 * gaussians.sh[:, :, 0]).clamp_min(0).requires_grad_()
        out = ops.splat(
            gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, colors, frames.view(index),
            with_depth=False, dilation=gaussians.dilation, layer=splat_layer(gaussians, frames.view(index)),
        )  # fmt: skip
        matte = frames.alpha[index][None].float() / 255
        truth = frames.rgb[index][None].float() / 255 * matte[..., None]
        wrong = (out.rgb.detach() - truth).abs().mean(-1) + ALPHA_ERROR * (out.alpha.detach() - matte).abs()
        # A pixel is a sum of colors times blend weights, so the gradient by the colors sums pixels by blend weight.
        channels = torch.stack([wrong, torch.ones_like(wrong), torch.zeros_like(wrong)], -1)
        (sums,) = torch.autograd.grad(out.rgb, colors, channels)
        error += sums[0, :, 0]
        contribution += sums[0, :, 1]
    return Use(error / len(chosen), contribution / len(chosen))


@torch.no_grad()
def relocate(
    avatar: Avatar, anchors: Anchors, optimizer: Optimizer, use: Use, fraction: float, rng: np.random.Generator
) -> int:
    """Move Gaussians in place, within those that have blendshapes and within the rest; anchored ones stay.

    Args:
        avatar: the avatar.
        anchors: the anchored Gaussians; initial values follow.
        optimizer: its moments follow.
        use: from `measure`.
        fraction: of the Gaussians of each group that moves, 0..1.
        rng: chooses targets by their error, and offsets.

    Returns:
        Number of moved Gaussians.
    """
    rows = torch.arange(len(avatar), device=avatar.offsets.device)
    free = torch.ones_like(rows, dtype=torch.bool)
    free[anchors.rows] = False
    expressive = rows < avatar.blendshapes.count
    moved = 0
    for group in (rows[free & expressive], rows[free & ~expressive]):
        if len(group) < MIN_GROUP:
            continue
        unused = group[use.contribution[group].argsort(stable=True)[: round(fraction * len(group))]]
        sources = _sources(group, unused, use.error, rng)
        _copy(avatar, anchors, optimizer, sources, unused[: len(sources)])
        _divide(avatar, sources, unused[: len(sources)], rng)
        moved += len(sources)
    return moved


def _sources(group: Tensor, unused: Tensor, error: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussians of `group` chosen by their error, without repeats: as many as `unused`, or all that have an error."""
    chance = error.double().clamp_min(0)
    chance[unused] = 0
    chances = chance[group].cpu().numpy()
    count = min(len(unused), int((chances > 0).sum()))
    if not count:
        return group[:0]
    chosen = rng.choice(len(group), count, replace=False, p=chances / chances.sum())
    return group[torch.from_numpy(chosen).to(group.device)]


def _copy(avatar: Avatar, anchors: Anchors, optimizer: Optimizer, sources: Tensor, targets: Tensor) -> None:
    """Make the Gaussians `targets` equal to `sources`; their first moments are cleared."""
    for record in (avatar.local, avatar.rig.binding):
        for values in vars(record).values():
            values[targets] = values[sources]
    for values in anchors.initial.values():
        values[targets] = values[sources]
    for part in avatar.parts.values():
        part.copy_rows(sources, targets)
    shapes = avatar.blendshapes
    if bool((targets < shapes.count).all()):
        for values in (shapes.basis, shapes.mask):
            values[:, targets] = values[:, sources]
    for group in optimizer.groups:
        if group.name == WRINKLES and not bool((targets < shapes.count).all()):
            continue
        if group.per_gaussian:
            group.m[targets], group.v[targets] = 0, group.v[sources]
        elif group.name == "basis" and bool((targets < shapes.count).all()):
            group.m[:, targets], group.v[:, targets] = 0, group.v[:, sources]


def _divide(avatar: Avatar, sources: Tensor, targets: Tensor, rng: np.random.Generator) -> None:
    """Turn each of `sources` and its copy in `targets` into halves that together are as opaque as it was."""
    opacities = torch.sigmoid(avatar.logit_opacities[sources])
    half = torch.logit((1 - (1 - opacities).sqrt()).clamp(MIN_OPACITY, MAX_OPACITY))
    size = avatar.log_scales[sources].exp().sort(1).values[:, 1:2]  # the second axis: along a needle there is room
    noise = torch.from_numpy(rng.standard_normal((len(sources), 3))).float().to(size.device)
    avatar.offsets[targets] += noise * size.new_tensor(SPREAD) * size
    for rows in (sources, targets):
        avatar.logit_opacities[rows] = half
        avatar.log_scales[rows] += float(np.log(SHRINK))
