"""`principal_strains` on CUDA, in the emulator where there is no GPU: against the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar import ops
from tests.avatar.ops.test_small import ROUNDING, random
from tests.avatar.ops.test_strain import points, strains_and_gradient
from tests.cuda_ext.test_cuda_small import assert_close, assert_same_bits, there


@pytest.mark.parametrize("count", [1, 127, 700])
def test_strains_and_their_gradient_match_reference(device: torch.device, count: int) -> None:
    values = points(count)
    assert_close(strains_and_gradient(there(device, *values)), strains_and_gradient(values), ROUNDING)


def test_no_stretch_is_no_strain_to_the_bit(device: torch.device) -> None:
    tensors, *rest = there(device, *points(50))
    assert torch.equal(ops.principal_strains(torch.zeros_like(tensors), *rest), tensors.new_zeros(2, 50, 2))


def test_the_gradient_is_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    values = there(device, *points(300))
    assert_same_bits(device, lambda: strains_and_gradient(values))


def test_a_gradient_that_is_not_finite_stays_in_its_rows(device: torch.device) -> None:
    values: list[Tensor] = there(device, *points(30))
    leaf, rows = values[0].requires_grad_(), values[1][values[2]]
    chosen = int((rows >= 0).all(1).nonzero()[0, 0])
    strains = ops.principal_strains(leaf, *values[1:])
    pull = random(*strains.shape, seed=3).to(strains)
    pull[0, chosen] = float("nan")
    (grad,) = torch.autograd.grad(strains, leaf, pull)
    affected = torch.zeros(leaf.shape[:2], dtype=torch.bool, device=device)
    affected[0, rows[chosen]] = True
    assert torch.equal(~grad.isfinite().all(-1), affected)
