"""`ops.mixed_weights` and its gradients: one native call against the operations one by one, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops
from avatar.ops.backend import wrapped_native

FEATURES, UNITS, BASES = 13, 9, 7


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def case(batch: int) -> tuple[ops.WeightInputs, Tensor, ops.Layers]:
    sizes = (FEATURES, UNITS), (UNITS,), (UNITS, BASES), (BASES,)
    network = ops.Layers(*(random(*size, seed=seed) for seed, size in enumerate(sizes)))
    inputs = ops.WeightInputs(random(batch, FEATURES, seed=4), random(batch, BASES, seed=5))
    return inputs, random(BASES, BASES, seed=6), network


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
@pytest.mark.parametrize("with_network", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
def test_one_call_gives_what_single_operations_give(level: str, batch: int, with_network: bool) -> None:
    inputs, mix, layers = case(batch)
    network, grad = layers if with_network else None, random(batch, BASES, seed=7)

    def run() -> list[Tensor]:
        weights, units = ops.mixed_weights(inputs, mix, network)
        of_mix, of_network = ops.mixed_weights_backward(grad, inputs, network, units)
        return [weights, of_mix, *(() if of_network is None else vars(of_network).values())]

    found = run()
    with wrapped_native(lambda native: None):
        expected = run()
    assert len(found) == len(expected) == (6 if with_network else 2)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_the_gradients_are_those_of_autograd() -> None:
    inputs, mix, network = case(3)
    leaves = [tensor.requires_grad_() for tensor in (mix, *vars(network).values())]
    hidden = (inputs.standardized @ network.hidden + network.hidden_bias).relu()
    weights = inputs.linear @ mix.T + hidden @ network.output + network.output_bias
    grad = random(3, BASES, seed=7)
    expected = torch.autograd.grad(weights, leaves, grad)
    found, units = ops.mixed_weights(inputs, mix, network)
    torch.testing.assert_close(found, weights.detach(), rtol=1e-5, atol=1e-5)
    of_mix, of_network = ops.mixed_weights_backward(grad, inputs, network, units)
    assert of_network is not None
    for mine, other in zip((of_mix, *vars(of_network).values()), expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_arguments_that_do_not_fit_are_named() -> None:
    inputs, mix, network = case(2)
    with pytest.raises(ValueError, match=r"mix: expected \[7,7\], got \[7,6\]"):
        ops.mixed_weights(inputs, mix[:, 1:], network)
    with pytest.raises(ValueError, match=r"output_bias: expected \[7\], got \[6\]"):
        ops.mixed_weights(inputs, mix, replace(network, output_bias=network.output_bias[1:]))
    with pytest.raises(ValueError, match=r"grad: expected \[2,7\], got \[1,7\]"):
        ops.mixed_weights_backward(torch.zeros(1, BASES), inputs, network, torch.zeros(2, UNITS))
