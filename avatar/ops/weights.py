"""Blendshape weights and their gradients: a linear map of some inputs, and a network of one hidden layer.

In training these small matrices take most of the time for calls of single operations: on the CPU all is one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.types import check_shape

from .backend import native_for
from .blend import batch_invariant_matmul, batch_invariant_matmul_backward
from .checks import check_floats
from .frames import has_workspaces
from .packages import attempted


@dataclass(frozen=True)
class Layers:
    """A network of one hidden layer with rectified units; or the gradients of that."""

    hidden: Tensor  # [F,H]
    hidden_bias: Tensor  # [H]
    output: Tensor  # [H,K]
    output_bias: Tensor  # [K]


@dataclass(frozen=True)
class WeightInputs:
    """What the weights of B images are computed from."""

    standardized: Tensor  # [B,F] features
    linear: Tensor  # [B,K] components of the features


@torch.no_grad()
def mixed_weights(inputs: WeightInputs, mix: Tensor, network: Layers | None) -> tuple[Tensor, Tensor | None]:
    """Weights [B,K]: `linear` times the transposed `mix` [K,K], plus what the network makes of `standardized`.

    Returns:
        The weights; the hidden units [B,H] for `mixed_weights_backward`, None without a network, [B,0] where
        tiny-cuda-nn has computed them (`packages.py`).

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    _check(inputs, mix, network)
    native = native_for(mix)
    if native is None or has_workspaces(native):
        weights = batch_invariant_matmul(inputs.linear, mix.T)
        if network is None:
            return weights, None
        found = attempted("tinycudann", mix, lambda package: package.weight_network(inputs.standardized, network))
        if found is not None:
            return weights + found, weights.new_empty(len(weights), 0)
        hidden = _hidden(inputs, network)
        return weights + (batch_invariant_matmul(hidden, network.output) + network.output_bias), hidden
    weights = torch.empty_like(inputs.linear)
    units = None if network is None else weights.new_empty(len(weights), len(network.hidden_bias))
    layers = None if network is None else tuple(layer.detach() for layer in vars(network).values())
    native.mixed_weights(inputs.standardized, inputs.linear, mix.detach(), layers, weights, units)
    return weights, units


@torch.no_grad()
def mixed_weights_backward(
    grad: Tensor, inputs: WeightInputs, network: Layers | None, units: Tensor | None
) -> tuple[Tensor, Layers | None]:
    """Gradients of `mix` and of the network.

    Args:
        grad: [B,K] of the weights.
        inputs: as of `mixed_weights`.
        network: as of `mixed_weights`.
        units: from there.

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("grad", grad, tuple(inputs.linear.shape))
    check_floats(inputs.linear, grad=grad)
    native = native_for(grad)
    if native is None or has_workspaces(native):
        of_mix = (inputs.linear.T @ grad).T.contiguous()
        if network is None or units is None:
            return of_mix, None
        if not units.shape[1]:
            found = attempted(
                "tinycudann",
                grad,
                lambda package: package.weight_network_backward(grad, inputs.standardized, network),
            )
            if found is not None:
                return of_mix, found
            units = _hidden(inputs, network)
        of_units = batch_invariant_matmul_backward(grad, network.output) * (units > 0)
        of_hidden = inputs.standardized.T @ of_units, of_units.sum(0)
        return of_mix, Layers(*of_hidden, units.T @ grad, grad.sum(0))
    of_mix = grad.new_empty(grad.shape[1], grad.shape[1])
    of_network = None if network is None else Layers(*map(torch.empty_like, vars(network).values()))
    output = None if network is None else network.output.detach()
    arrays = None if of_network is None else tuple(vars(of_network).values())
    native.mixed_weights_backward(grad.contiguous(), *vars(inputs).values(), output, units, of_mix, arrays)
    return of_mix, of_network


def _hidden(inputs: WeightInputs, network: Layers) -> Tensor:
    return (batch_invariant_matmul(inputs.standardized, network.hidden) + network.hidden_bias).relu_()


def _check(inputs: WeightInputs, mix: Tensor, network: Layers | None) -> None:
    check_shape("linear", inputs.linear, ("B", "K"))
    batch, bases = inputs.linear.shape
    check_shape("standardized", inputs.standardized, (batch, "F"))
    check_shape("mix", mix, (bases, bases))
    check_floats(mix, **vars(inputs))
    if network is not None:
        check_shape("hidden", network.hidden, (inputs.standardized.shape[1], "H"))
        check_shape("hidden_bias", network.hidden_bias, (network.hidden.shape[1],))
        check_shape("output", network.output, (network.hidden.shape[1], bases))
        check_shape("output_bias", network.output_bias, (bases,))
        check_floats(mix, **vars(network))
