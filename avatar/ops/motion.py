"""Normal equations of rigid motions for the refinement of poses by images."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import native_for
from .checks import check_floats
from .frames import has_workspaces

#: Maximum number of independently moving groups of Gaussians.
GROUPS_MAX = 3


@torch.no_grad()
def rigid_normal(
    rgb: Tensor, alpha: Tensor, target: Tensor, features: Tensor, K: Tensor, pivots: Tensor, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Newton terms of the rigid motions of G groups of Gaussians that align a rendered image with a target.

    The cost of a pixel is that of Geman and McClure, s / (sigma^2 + s), with the squared difference s summed over the
    channels, both images over white. The derivative of the image is minus its gradient times the flow of its pixels
    (Lucas and Kanade 1981), times the group's blend weight in the pixel; see `avatar.reference.motion`.

    Args:
        rgb: [B,H,W,3] premultiplied, from `splat`.
        alpha: [B,H,W] 0..1.
        target: [B,H,W,3] 0..1, over white.
        features: [B,H,W,3] from `splat_features`: depth (meters along the camera axis) and the blend weights of group
            1 and group 2; the remainder is group 0. Where alpha is below 0.5, the mean of the neighborhood is used.
        K: [B,3,3] pixels.
        pivots: [B,G,3] meters, camera axes; rotation center of each group. G = 1, 2 or 3.
        sigma: scale of the robust cost, in color units.

    Returns:
        matrix [B,D,D] and gradient [B,D], half of the cost's second and first derivatives by D = 6 G unknowns: a
        rotation (radians) and a translation (meters) along the camera's axes for each group; cost [B]. The step is
        -matrix^-1 gradient.

    Raises:
        ValueError: a wrong shape, dtype or device, or sigma is not above 0.
    """
    check_shape("rgb", rgb, ("B", "H", "W", 3))
    batch = len(rgb)
    groups = pivots.shape[1] if pivots.ndim == 3 else 0
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
    if native is None or has_workspaces(native):  # there is no CUDA kernel of it
        return reference.rigid_normal(rgb, alpha, target, features, K, pivots, sigma)
    size = 6 * groups
    matrix = rgb.new_empty(batch, size, size)
    gradient = rgb.new_empty(batch, size)
    cost = rgb.new_empty(batch)
    inputs = (tensor.contiguous() for tensor in (rgb, alpha, target, features, K, pivots))
    native.rigid_normal(*inputs, sigma, matrix, gradient, cost)
    return matrix, gradient, cost
