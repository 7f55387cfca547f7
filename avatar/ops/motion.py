"""Normal equations of rigid motions: what a refinement of poses solves."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_floats

#: Groups of splats that may move on their own.
GROUPS_MAX = 3


@torch.no_grad()
def rigid_normal(
    rgb: Tensor, alpha: Tensor, target: Tensor, features: Tensor, K: Tensor, pivots: Tensor, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Newton terms of the rigid motions of G groups of splats that would make a picture look like another.

    The cost is that of Geman and McClure, s / (sigma^2 + s) a pixel, s the squared difference summed over channels,
    both pictures over white. The picture's derivative is minus its slope times the flow of its pixels (Lucas and Kanade
    1981), times the group's share of the pixel; see `avatar.reference.motion`.

    Args:
        rgb: [B,H,W,3] premultiplied, as `splat` gives it.
        alpha: [B,H,W] 0..1.
        target: [B,H,W,3] 0..1, over white.
        features: [B,H,W,3] blended by `splat_features`: depth (meters along the camera axis), the share of group 1 and
            of group 2; the rest is group 0's. Where alpha is under a half, a pixel takes the mean around it.
        K: [B,3,3] pixels.
        pivots: [B,G,3] meters, camera axes; what each group turns about. G = 1, 2 or 3.
        sigma: color units.

    Returns:
        matrix [B,D,D] and gradient [B,D], which are half of the cost's second and first derivatives by D = 6 G
        unknowns: for each group a turn (radians) and a shift (meters) along the camera's axes; cost [B]. The step is
        -matrix^-1 gradient.

    Raises:
        ValueError: a shape, dtype or device does not fit, or sigma is not above 0.
    """
    check_shape("rgb", rgb, ("B", "H", "W", 3))
    batch, groups = len(rgb), pivots.shape[1] if pivots.ndim == 3 else 0
    check_shape("alpha", alpha, tuple(rgb.shape[:3]))
    check_shape("target", target, tuple(rgb.shape))
    check_shape("features", features, tuple(rgb.shape))
    check_shape("K", K, (batch, 3, 3))
    check_shape("pivots", pivots, (batch, "G", 3))
    check_floats(rgb, alpha=alpha, target=target, features=features, K=K, pivots=pivots)
    if not 1 <= groups <= GROUPS_MAX:
        raise ValueError(f"pivots: expected [B,G,3] with G from 1 to {GROUPS_MAX}, got G={groups}")
    if not sigma > 0:
        raise ValueError(f"sigma: expected more than 0, got {sigma:g}")
    native = native_for(rgb)
    if native is None or rgb.device.type != "cpu":
        return reference.rigid_normal(rgb, alpha, target, features, K, pivots, sigma)
    size = 6 * groups
    matrix, gradient, cost = rgb.new_empty(batch, size, size), rgb.new_empty(batch, size), rgb.new_empty(batch)
    given = (tensor.contiguous() for tensor in (rgb, alpha, target, features, K, pivots))
    native.rigid_normal(*given, sigma, matrix, gradient, cost)
    return matrix, gradient, cost
