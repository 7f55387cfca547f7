"""Normal equations of motions of the head and of the face, for tracking by images."""

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
#: Maximum number of controls at sampled points.
CONTROLS_MAX = 64


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


@torch.no_grad()
def sampled_normal(
    slopes: Tensor,
    residual: Tensor,
    weight: Tensor,
    points: Tensor,
    K: Tensor,
    pivots: Tensor,
    turn: Tensor,
    motion: Tensor,
    tint: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gauss-Newton terms of a rigid motion and of P controls that align M points of a rendered image with a target.

    The cost is half of the sum of weight times squared residual. The color at a point changes by the tint of a control
    and by minus the slope of the image times the flow of the point.

    Args:
        slopes: [B,2,3,M] derivatives of the colors along x and y, per pixel, at the points.
        residual: [B,3,M] rendered minus target colors at the points.
        weight: [B,M] not negative.
        points: [B,3,M] meters, camera axes.
        K: [B,3,3] pixels.
        pivots: [B,3] meters, camera axes; the rotation's center.
        turn: [B,3,3] from the frame of `motion` to the camera's axes.
        motion: [P,3,M] meters that each unit of a control moves the points by. P is at most 64.
        tint: [P,3,M] change of the colors by each unit of a control.

    Returns:
        matrix [B,D,D] and gradient [B,D] of the cost by D = 6 + P unknowns: a rotation (radians) about the pivot and a
        translation (meters), along the camera's axes, then the controls. The step is -matrix^-1 gradient.

    Raises:
        ValueError: a wrong shape, dtype or device, or too many controls.
    """
    check_shape("weight", weight, ("B", "M"))
    batch, count = weight.shape
    check_shape("slopes", slopes, (batch, 2, 3, count))
    check_shape("residual", residual, (batch, 3, count))
    check_shape("points", points, (batch, 3, count))
    check_shape("K", K, (batch, 3, 3))
    check_shape("pivots", pivots, (batch, 3))
    check_shape("turn", turn, (batch, 3, 3))
    check_shape("motion", motion, ("P", 3, count))
    check_shape("tint", tint, tuple(motion.shape))
    tensors = (slopes, residual, weight, points, K, pivots, turn, motion, tint)
    names = ("residual", "weight", "points", "K", "pivots", "turn", "motion", "tint")
    check_floats(slopes, **dict(zip(names, tensors[1:], strict=True)))
    if len(motion) > CONTROLS_MAX:
        raise ValueError(f"motion: expected at most {CONTROLS_MAX} controls, got {len(motion)}")
    native = native_for(slopes)
    if native is None or has_workspaces(native):  # there is no CUDA kernel of it
        return reference.sampled_normal(*tensors)
    size = 6 + len(motion)
    matrix = slopes.new_empty(batch, size, size)
    gradient = slopes.new_empty(batch, size)
    native.sampled_normal(*(tensor.contiguous() for tensor in tensors), matrix, gradient)
    return matrix, gradient
