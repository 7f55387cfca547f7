"""Limits on Gaussians in training: without them a few grow into needles, sheets and glaring specks.

The limits bind few Gaussians at a time, so they are applied every few steps after the step of Adam.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatar.model.avatar import Avatar

#: Steps between two applications of the limits.
EVERY = 4
#: Largest ratio of the two larger axes of a Gaussian: 1 is a disc, much more is a needle.
MAX_RATIO = 6.0
#: Largest ratio of the longest axis and the shortest: a thin disc seen from its edge is a needle, too.
MAX_THINNESS = 8.0
#: Largest standard deviation of a Gaussian relative to its initial one.
MAX_GROWTH = 3.0
#: Colors beyond 0..1 serve only to outshine other Gaussians.
COLOR_LOW, COLOR_HIGH = -0.01, 1.01


@torch.no_grad()
def apply_limits(avatar: Avatar, initial_log_scales: Tensor) -> None:
    """Clamp colors, sizes and shapes of all Gaussians of `avatar` to the limits of this module.

    Args:
        avatar: changed in place.
        initial_log_scales: [N,3] log of meters, before the first step.
    """
    avatar.colors.clamp_(COLOR_LOW, COLOR_HIGH)
    first, second, third = avatar.log_scales.unbind(1)
    middle = torch.maximum(torch.minimum(first, second), torch.minimum(torch.maximum(first, second), third))
    largest = initial_log_scales.amax(1) + math.log(MAX_GROWTH)
    limit = torch.minimum(middle + math.log(MAX_RATIO), largest)
    limited = torch.minimum(avatar.log_scales, limit[:, None])
    avatar.log_scales.copy_(torch.maximum(limited, limited.amax(1, keepdim=True) - math.log(MAX_THINNESS)))
