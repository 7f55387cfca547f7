"""tiny-cuda-nn (https://github.com/NVlabs/tiny-cuda-nn, BSD-3-Clause) for the networks of a training.

Our parameters stay as they are: each call makes from them the flat vector that tiny-cuda-nn takes, with autograd, and
so the gradients come back to ours. Optimizer, checkpoint and file do not know of it.

Of its conventions: a level of its grid with R points an axis is looked up at (R - 1) x + 1/2. So x = (c u - 1/2) /
(R - 1) finds place u in a lattice of c cells. It hashes only where R^3 is more than the entries of the table, so R is
large enough for that, and the table is then ours, entry by entry. Networks have no biases, matrices are stored by rows
[outputs, inputs] with both sides padded to multiples of 16, and numbers have 16 bits. A unit with a slope is two
rectified ones: leaky(h) = relu(h) - slope relu(-h).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from .hash_grid import HashLattice
from .weights import Layers

_SIDE = 16  # sides of matrices are multiples of this
_FUSED = (32, 64, 128)  # hidden units of its fastest network
#: What the gradients of a column of outputs add up to, at most. Gradients have 16 bits, and those of weights are sums.
_LARGEST_SUM = 64.0
_modules: dict[tuple[Any, ...], Any] = {}


def hash_features(tables: Tensor, lattice: HashLattice) -> Tensor:
    """As `ops.hash_features`."""
    levels = tables.view(len(tables), len(lattice.cells), -1)  # [B,L,entries*C]
    features = levels.shape[2] // lattice.entries
    found = []
    for level, cells in enumerate(lattice.cells):
        points = cells + 1
        while points**3 <= lattice.entries:
            points = 2 * points - 1
        grid = _module("Encoding", tables.device, 3, _grid(points, lattice.entries, features))
        places = (lattice.unit * cells - 0.5) / (points - 1)
        found.append(torch.stack([_called(grid, places, table, (torch.float32,)) for table in levels[:, level]]))
    return torch.cat(found, -1)


def _grid(points: int, entries: int, features: int) -> dict[str, Any]:
    return {
        "otype": "HashGrid",
        "n_levels": 1,
        "n_features_per_level": features,
        "log2_hashmap_size": entries.bit_length() - 1,
        "base_resolution": points,
        "per_level_scale": 2.0,
    }


def leaky_network(values: Tensor, weights: Sequence[Tensor], slope: float) -> Tensor:
    """As `ops.leaky_network`."""
    first, *others = weights
    doubled = [torch.cat([first, -first])]
    for number, weight in enumerate(others):
        both = torch.cat([weight, -slope * weight], 1)
        doubled.append(torch.cat([both, -both]) if number < len(others) - 1 else both)
    rows = values.reshape(-1, values.shape[-1])
    return _network(rows, doubled).view(*values.shape[:-1], -1)


def weight_network(standardized: Tensor, network: Layers) -> Tensor:
    """What a network of one hidden layer adds to the weights: [B,K] from [B,F]. A column of ones has its biases."""
    ones = standardized.new_ones(len(standardized), 1)
    hidden = torch.cat([network.hidden.T, network.hidden_bias[:, None]], 1)
    return _network(torch.cat([standardized, ones], 1), [hidden, network.output.T]) + network.output_bias


@torch.enable_grad()
def weight_network_backward(grad: Tensor, standardized: Tensor, network: Layers) -> Layers:
    """Gradients of the layers, given that of what they add [B,K]."""
    leaves = Layers(*(value.detach().requires_grad_() for value in vars(network).values()))
    added = weight_network(standardized.detach(), leaves)
    return Layers(*torch.autograd.grad(added, list(vars(leaves).values()), grad))


def _network(values: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Rectified layers: [N,O] from [N,I], for weights [outputs, inputs] of each layer."""
    units = _units(len(weights[0]))
    sizes = [_rounded(values.shape[1]), *[units] * (len(weights) - 1), _rounded(len(weights[-1]))]
    fused = units in _FUSED
    settings = {
        "otype": "FullyFusedMLP" if fused else "CutlassMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": units,
        "n_hidden_layers": len(weights) - 1,
    }
    network = _module("Network", values.device, sizes[0], sizes[-1], settings)
    padded = [_padded(weight, sizes[k + 1], sizes[k]).flatten() for k, weight in enumerate(weights)]
    scale = _Scale()
    rows, parameters = (
        _Restored.apply(scale, value) for value in (_padded(values, len(values), sizes[0]), torch.cat(padded))
    )
    out = _called(network, rows, parameters, (torch.float16, torch.float32)).float()[:, : len(weights[-1])]
    scaled: Tensor = _Scaled.apply(scale, out)
    return scaled


def _units(count: int) -> int:
    return next((size for size in _FUSED if size >= count), _rounded(count))


def _rounded(count: int) -> int:
    return -(-count // _SIDE) * _SIDE


def _padded(values: Tensor, rows: int, columns: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, columns - values.shape[1], 0, rows - values.shape[0]))


def _module(kind: str, device: torch.device, *arguments: Any) -> Any:
    """A module of tiny-cuda-nn, whose own parameters are not used."""
    key = kind, str(device), repr(arguments)
    if key not in _modules:
        import tinycudann

        options = {"dtype": torch.float32} if kind == "Encoding" else {}
        make: Callable[..., Any] = getattr(tinycudann, kind)
        with _current(device):
            _modules[key] = make(*arguments, **options).to(device)
    return _modules[key]


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """A block in which a GPU other than the first is the current one, on which tiny-cuda-nn works."""
    return torch.cuda.device(device) if device.type == "cuda" and device.index else nullcontext()


def _called(module: Any, values: Tensor, parameters: Tensor, dtypes: tuple[torch.dtype, ...]) -> Tensor:
    if module.params.numel() != parameters.numel():
        raise ValueError(f"tinycudann has {module.params.numel()} parameters, not {parameters.numel()}")
    with _current(values.device):
        out: Tensor = functional_call(module, {"params": parameters}, (values.contiguous(),))
    if out.dtype not in dtypes:
        raise TypeError(f"tinycudann gives {out.dtype}, not {' or '.join(map(str, dtypes))}")
    return out


class _Scale:
    """By what a gradient is multiplied on its way through a network of 16 bits; known in the backward pass."""

    factor: Tensor


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scale: _Scale, value: Tensor) -> Tensor:
        ctx.scale = scale
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (grad,) = grads
        ctx.scale.factor = _LARGEST_SUM / grad.abs().sum(0).amax().clamp_min(1e-30)
        return None, grad * ctx.scale.factor


class _Restored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scale: _Scale, value: Tensor) -> Tensor:
        ctx.scale = scale
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0] / ctx.scale.factor
