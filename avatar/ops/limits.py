"""What the limits of a training measure and clamp: both without gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import BlendExtent
from avatar.types import check_shape

from .backend import checks_indices, native_for
from .blend import DEFORM_CHANNELS
from .checks import check_floats, check_indices, check_integers


@torch.no_grad()
def blend_extent(
    base: Tensor | None, basis: Tensor, weights: Tensor, rows: Tensor, first: int, units: Tensor
) -> BlendExtent:
    """Smallest and largest values over frames of some channels that blendshapes change, of some Gaussians.

    Args:
        base: [R,C] added to what blendshapes give, or None for zero.
        basis: [K,N,D] of the blendshapes; D up to 11.
        weights: [T,K] of the frames, at least one.
        rows: [R] int64, the Gaussians.
        first: the first of the C channels.
        units: [C] scale of each channel.

    Raises:
        ValueError: a wrong shape, dtype, device or index; the text names the argument.
    """
    check_shape("basis", basis, ("K", "N", "D"))
    check_shape("weights", weights, ("T", basis.shape[0]))
    check_shape("rows", rows, ("R",))
    check_integers("rows", rows)
    check_shape("units", units, ("C",))
    if not len(weights):
        raise ValueError("weights: expected at least one frame, got none")
    if not 0 <= first <= first + len(units) <= min(basis.shape[2], DEFORM_CHANNELS):
        raise ValueError(f"first: expected {len(units)} channels (from units) of {basis.shape[2]}, from {first} on")
    check_floats(basis, weights=weights, units=units)
    if base is not None:
        check_shape("base", base, (len(rows), len(units)))
        check_floats(basis, base=base)
    native = native_for(basis)
    if not checks_indices(native) or not basis.numel():  # there is no CUDA kernel of it
        check_indices("rows", rows, basis.shape[1])
        return reference.blend_extent(base, basis, weights, rows, first, units)
    out = BlendExtent(
        basis.new_empty(len(rows), len(units)), basis.new_empty(len(rows), len(units)), basis.new_empty(len(rows))
    )
    base = None if base is None else base.detach().contiguous()
    arrays = basis.detach().contiguous(), weights.detach().contiguous(), rows.contiguous()
    native.blend_extent(base, *arrays, first, units.detach().contiguous(), out.low, out.high, out.square)
    return out


@torch.no_grad()
def limit_scales(log_scales: Tensor, largest: Tensor, log_ratio: float, log_thinness: float) -> None:
    """Limit the axes of Gaussians in place, so that none is a needle or a sheet; a Gaussian with a NaN stays as it is.

    Args:
        log_scales: [N,3] log of meters.
        largest: [N] limit of the largest one.
        log_ratio: log of the largest ratio of the two larger axes: the largest one becomes smaller.
        log_thinness: log of the largest ratio of any two axes: the smaller ones become larger.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("log_scales", log_scales, ("N", 3))
    check_shape("largest", largest, (len(log_scales),))
    check_floats(log_scales, largest=largest)
    native = native_for(log_scales)
    if not checks_indices(native) or not log_scales.is_contiguous():  # there is no CUDA kernel of it
        reference.limit_scales(log_scales, largest, log_ratio, log_thinness)
        return
    native.limit_scales(log_scales.detach(), largest.detach().contiguous(), log_ratio, log_thinness)


@torch.no_grad()
def limit_texels(own: Tensor, start: Tensor, part: Tensor, factors: Tensor) -> None:
    """Change `own` in place so that the colors of `texel_colors` are in 0..1.

    Args:
        own: [T,3] added to the product of start and factors.
        start: [T,3] colors of the head model.
        part: [T] int64, row of `factors` for each texel.
        factors: [P,3].

    Raises:
        ValueError: a wrong shape, dtype, device or index; the text names the argument.
    """
    check_shape("own", own, ("T", 3))
    check_shape("start", start, tuple(own.shape))
    check_shape("part", part, (len(own),))
    check_shape("factors", factors, ("P", 3))
    check_floats(own, start=start, factors=factors)
    check_integers("part", part)
    native = native_for(own)
    if not checks_indices(native) or not own.is_contiguous():  # there is no CUDA kernel of it
        check_indices("part", part, len(factors))
        reference.limit_texels(own, start, part, factors)
        return
    native.limit_texels(start.contiguous(), factors.detach().contiguous(), part.contiguous(), own.detach())


@torch.no_grad()
def round_rings(
    values: Tensor, squares: Tensor, texels: Tensor, places: Tensor, rings: int, smoothness: float, share: float
) -> None:
    """Move texels in place towards the values of the rings that they lie between.

    The values of the rings are those that explain the texels best, by the weights of those, and differ little from one
    ring to the next. Without any weight nothing changes.

    Args:
        values: [T,3] of all texels.
        squares: [T,3] 0 or more; the mean of the roots is the weight of a texel.
        texels: [n] int64, those that lie between rings, each once.
        places: [n] 0..rings - 1, where between the rings.
        rings: number of rings, at least 2.
        smoothness: weight of the squared difference of two neighboring rings, relative to the mean weight of a ring.
        share: fraction of the difference that is removed.

    Raises:
        ValueError: a wrong shape, dtype, device or index; the text names the argument.
    """
    check_shape("values", values, ("T", 3))
    check_shape("squares", squares, tuple(values.shape))
    check_shape("texels", texels, ("n",))
    check_integers("texels", texels)
    check_shape("places", places, tuple(texels.shape))
    check_floats(values, squares=squares, places=places)
    if rings < 2:
        raise ValueError(f"rings: expected 2 or more, got {rings}")
    native = native_for(values)
    if not checks_indices(native) or not values.is_contiguous():  # there is no CUDA kernel of it
        check_indices("texels", texels, len(values))
        reference.round_rings(values, squares, texels, places, rings, smoothness, share)
        return
    arrays = squares.detach().contiguous(), texels.contiguous(), places.contiguous()
    native.round_rings(values.detach(), *arrays, rings, smoothness, share)
