"""Colors of the texels of a layer, against the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference


def texels(count: int = 20_000) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    start, own = (torch.rand(count, 3, generator=generator) for _ in range(2))
    factors = 0.5 + torch.rand(7, 3, generator=generator)
    return start, torch.randint(6, (count,), generator=generator), factors, own


def colors_and_gradients(function: object, dtype: torch.dtype) -> list[Tensor]:
    start, part, factors, own = texels()
    learned = [value.to(dtype).requires_grad_() for value in (factors, own)]
    colors = function(start.to(dtype), part, *learned)  # type: ignore[operator]
    weights = torch.randn(colors.shape, generator=torch.Generator().manual_seed(4)).to(dtype)
    return [colors.detach(), *torch.autograd.grad((colors * weights).sum(), learned)]


def test_colors_and_gradients_match_the_reference() -> None:
    found = colors_and_gradients(ops.texel_colors, torch.float32)
    for value, expected in zip(found, colors_and_gradients(reference.texel_colors, torch.float64), strict=True):
        torch.testing.assert_close(value.double(), expected, atol=1e-4, rtol=1e-5)
    assert not found[1][6].any()  # a part without texels


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason="needs the native kernels")
def test_gradients_do_not_depend_on_the_number_of_threads() -> None:
    native = cuda_ext.native()
    before, found = native.threads(), []
    try:
        for threads in (1, 3):
            native.set_threads(threads)
            found.append(colors_and_gradients(ops.texel_colors, torch.float32))
    finally:
        native.set_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_no_texels_are_no_colors() -> None:
    start, part, factors, own = texels(0)
    factors.requires_grad_()
    colors = ops.texel_colors(start, part, factors, own)
    colors.sum().backward()
    assert colors.shape == (0, 3) and factors.grad is not None and not factors.grad.any()


@pytest.mark.parametrize("bad", [-1, 7])
def test_a_part_out_of_range_is_refused(bad: int) -> None:
    start, part, factors, own = texels(50)
    part[20] = bad
    with pytest.raises(ValueError, match=r"part: expected indices in 0\.\.6"):
        ops.texel_colors(start, part, factors, own)
    with pytest.raises(ValueError, match=r"part: expected indices in 0\.\.6"):
        ops.texel_colors(start.double(), part, factors.double(), own.double())


def test_wrong_shapes_are_refused_by_name() -> None:
    start, part, factors, own = texels(50)
    for name, arguments in {
        "part": (start, part[:-1], factors, own),
        "factors": (start, part, factors[:, :2], own),
        "own": (start, part, factors, own[:-1]),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: "):
            ops.texel_colors(*arguments)
