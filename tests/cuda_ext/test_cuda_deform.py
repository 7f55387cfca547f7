"""Deformation and rotation of harmonics on CUDA, on a device and in the emulator, against the reference in double."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from tests.avatar.ops.flat import flat_deform
from tests.avatar.ops.splat_scenes import largest
from tests.avatar.ops.test_small import ROUNDING, random
from tests.cuda_ext.test_cuda_small import assert_same_bits, there


def values_and_gradients(run: str, where: object, inputs: list[Tensor], learned: int) -> tuple[Tensor, ...]:
    """Outputs of ops.`run` or reference.`run`, and the gradients with respect to the first `learned` inputs."""
    leaves = [value.clone().requires_grad_(k < learned) for k, value in enumerate(inputs)]
    function = getattr(where, run)
    values = flat_deform(*leaves, function=function) if run == "deform" else (function(*leaves),)
    total = sum((value * (random(*value.shape, seed=30 + k) - 0.5).to(value)).sum() for k, value in enumerate(values))
    return *(value.detach() for value in values), *torch.autograd.grad(total, leaves[:learned], materialize_grads=True)


def assert_matches(device: torch.device, run: str, inputs: list[Tensor], learned: int) -> None:
    rounded = [value.float().double() for value in inputs]
    found = values_and_gradients(run, ops, there(device, *inputs), learned)
    for value, expected in zip(found, values_and_gradients(run, reference, rounded, learned), strict=True):
        assert largest(value.cpu(), expected) < ROUNDING


def deform_inputs(batch: int, count: int, moved: int) -> list[Tensor]:
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 3), (batch, moved, 11), (11,))
    return [random(*shape, seed=k) * 2 - 1 for k, shape in enumerate(shapes)]


@pytest.mark.parametrize(("batch", "count", "moved"), [(1, 1, 1), (2, 300, 129), (19, 40, 40), (3, 7, 0)])
def test_deform_and_its_gradients_match_reference(device: torch.device, batch: int, count: int, moved: int) -> None:
    assert_matches(device, "deform", deform_inputs(batch, count, moved), 6)


def test_deform_gradients_are_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    inputs = there(device, *deform_inputs(3, 300, 200))
    assert_same_bits(device, lambda: values_and_gradients("deform", ops, inputs, 6))


@pytest.mark.parametrize("terms", [1, 4, 9, 16])
def test_rotate_sh_and_its_gradients_match_reference(device: torch.device, terms: int) -> None:
    assert_matches(device, "rotate_sh", [random(2, 70, terms, 3) - 0.5, random(2, 70, 4, seed=1) - 0.5], 2)
