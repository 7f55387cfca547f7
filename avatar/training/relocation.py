"""Relocation at a fixed count: Gaussians that contribute least move to where the images differ most.

After 3DGS-MCMC (Kheradmand et al. 2024), which moves transparent Gaussians and clones by opacity; here contribution and
error are measured in rendered frames (as in STAvatar), so that occluded Gaussians count as unused too
(`avatar.training.visibility.measure`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.training.adam import Optimizer
from avatar.training.anchors import Anchors
from avatar.training.parts.part import PartTraining
from avatar.training.visibility import Use

#: Steps between two relocations, and the part of the schedule in which they happen.
EVERY = 200
FIRST = 0.1
LAST = 0.75
#: A group of fewer Gaussians keeps them.
MIN_GROUP = 100
#: Both halves of a divided Gaussian are smaller than it was by this factor.
SHRINK = np.exp(-0.15)
#: Standard deviation of the offset between the halves, in standard deviations of the Gaussian: in the triangle's plane,
#: and along its normal.
SPREAD = (0.5, 0.5, 0.15)
#: Opacities of the halves stay in this range, where the gradient of the logit does not vanish.
MIN_OPACITY = 0.01
MAX_OPACITY = 0.99


def relocation_due(steps: int, fraction: float) -> bool:
    """Whether Gaussians are to be relocated after `steps` steps, at `fraction` (0..1) of the schedule."""
    return steps % EVERY == 0 and FIRST < fraction < LAST


@torch.no_grad()
def relocate(
    avatar: Avatar,
    anchors: Anchors,
    optimizer: Optimizer,
    use: Use,
    fraction: float,
    rng: np.random.Generator,
    parts: Sequence[PartTraining] = (),
) -> int:
    """Move Gaussians in place, within those that have blendshapes and within the rest; anchored ones stay.

    Args:
        avatar: the avatar.
        anchors: the anchored Gaussians; initial values follow.
        optimizer: its moments follow.
        use: from `measure`.
        fraction: of the Gaussians of each group that moves, 0..1.
        rng: chooses the Gaussians that are divided by their error, and the offsets of their halves.
        parts: of the training; what they have of the Gaussians follows.

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
        divided = _rows_to_divide(group, unused, use.error, rng)
        reused = unused[: len(divided)]
        for part in parts:
            part.copy_rows(divided, reused)
        _copy(avatar, anchors, divided, reused)
        for parameter in optimizer.groups:
            parameter.copy_rows(divided, reused)
        _divide(avatar, divided, reused, rng)
        moved += len(divided)
    return moved


def _rows_to_divide(group: Tensor, unused: Tensor, error: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussians of `group` chosen by their error, without repeats: as many as `unused`, or all that have an error."""
    chance = error.double().clamp_min(0)
    chance[unused] = 0
    chances = chance[group].cpu().numpy()
    count = min(len(unused), int((chances > 0).sum()))
    if not count:
        return group[:0]
    chosen = rng.choice(len(group), count, replace=False, p=chances / chances.sum())
    return group[torch.from_numpy(chosen).to(group.device)]


def _copy(avatar: Avatar, anchors: Anchors, divided: Tensor, reused: Tensor) -> None:
    """Make the Gaussians `reused` equal to `divided`."""
    for record in (avatar.local, avatar.rig.binding):
        for values in vars(record).values():
            values[reused] = values[divided]
    for values in anchors.initial.values():
        values[reused] = values[divided]
    for part in avatar.parts.values():
        part.copy_rows(divided, reused)
    shapes = avatar.blendshapes
    if bool((reused < shapes.count).all()):
        for values in (shapes.basis, shapes.mask):
            values[:, reused] = values[:, divided]


def _divide(avatar: Avatar, divided: Tensor, reused: Tensor, rng: np.random.Generator) -> None:
    """Turn each of `divided` and its copy in `reused` into halves that together are as opaque as it was."""
    opacities = torch.sigmoid(avatar.logit_opacities[divided])
    half = torch.logit((1 - (1 - opacities).sqrt()).clamp(MIN_OPACITY, MAX_OPACITY))
    size = avatar.log_scales[divided].exp().sort(1).values[:, 1:2]  # the second axis: along a needle there is room
    noise = torch.from_numpy(rng.standard_normal((len(divided), 3))).float().to(size.device)
    avatar.offsets[reused] += noise * size.new_tensor(SPREAD) * size
    for rows in (divided, reused):
        avatar.logit_opacities[rows] = half
        avatar.log_scales[rows] += float(np.log(SHRINK))
