"""The part of tiny-cuda-nn's interface that headsplat uses, from its public description, in plain PyTorch.

Not its code and not ours. `Encoding` and `Network` are modules with one flat parameter `params` of float32.

HashGrid: level l has the scale s = base_resolution * per_level_scale^l - 1 and ceil(s) + 1 points an axis; a place x is
looked up at s x + 1/2. A table has as many entries as points, in multiples of 8, at most 2^log2_hashmap_size; it is
indexed by points where they fit, else by the xor of the coordinates times primes, as 32-bit numbers.
Networks: matrices [outputs, inputs] by rows, without biases; sides of inputs and outputs padded to multiples of 16;
weights, units, outputs and gradients have 16 bits, and the gradients are multiplied by 128 on their way.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tests.support.stand_in_modules import modules_in_place

GRANULARITY = 256  # rows are padded to multiples of this
LOSS_SCALE = 128.0


@dataclass
class Faults:
    """What of the package is wrong, and how often it was called."""

    prime: int = 2654435761
    gradient: float = 1.0  # factor of the gradients of parameters
    half_encoding: bool = False
    offset: float = 0.5
    nan: bool = False
    error: str = ""
    slope: float = 0.0  # of its rectified units
    calls: int = 0


class _Gradient(torch.autograd.Function):
    """Gradients pass in 16 bits, multiplied by the loss scale, and by a factor that is a fault."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        if grad.dtype == torch.float16:
            assert bool((grad.float() * LOSS_SCALE).half().isfinite().all()), "a gradient is too large for 16 bits"
            grad = (grad.float() * LOSS_SCALE).half().float() / LOSS_SCALE
        return grad * ctx.factor, None


class _Module(nn.Module):
    def __init__(self, faults: Faults, count: int, outputs: int) -> None:
        super().__init__()
        self._faults = faults
        self.n_output_dims = outputs
        self.params = nn.Parameter(torch.rand(count, generator=torch.Generator().manual_seed(1337)) - 0.5)

    def forward(self, x: Tensor) -> Tensor:
        faults = self._faults
        faults.calls += 1
        if faults.error:
            raise RuntimeError(faults.error)
        assert x.ndim == 2 and x.dtype == torch.float32
        rows = -(-len(x) // GRANULARITY) * GRANULARITY
        padded = torch.nn.functional.pad(x, (0, 0, 0, rows - len(x)))
        out = self.computed(padded, _Gradient.apply(self.params, faults.gradient))[: len(x), : self.n_output_dims]
        return out * torch.nan if faults.nan else out

    @abstractmethod
    def computed(self, x: Tensor, params: Tensor) -> Tensor:
        """The outputs of padded inputs."""


class Encoding(_Module):
    """A hash grid with linear interpolation."""

    def __init__(
        self, faults: Faults, n_input_dims: int, encoding_config: dict[str, Any], seed: int = 1337,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        assert n_input_dims == 3 and encoding_config["otype"] == "HashGrid"
        config = encoding_config
        features, levels = config["n_features_per_level"], []
        for level in range(config["n_levels"]):
            scale = config["base_resolution"] * config["per_level_scale"] ** level - 1
            points = math.ceil(scale) + 1
            entries = min(-(-(points**3) // 8) * 8, 1 << config["log2_hashmap_size"])
            levels.append((scale, points, entries))
        super().__init__(faults, sum(entries for _, _, entries in levels) * features, features * len(levels))
        self.features, self.levels = features, levels
        self.dtype = torch.float16 if dtype is None or faults.half_encoding else dtype

    def computed(self, x: Tensor, params: Tensor) -> Tensor:
        found = []
        start = 0
        for scale, points, entries in self.levels:
            table = params[start : start + entries * self.features].view(entries, self.features)
            start += entries * self.features
            place = x * scale + self._faults.offset
            base = place.floor()
            part = place - base
            total: Any = 0.0
            for corner in range(8):
                steps = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1]).to(x.device)
                weight = torch.where(steps.bool(), part, 1 - part).prod(1, keepdim=True)
                total = total + weight * table[self._index(base.long() + steps, points, entries)]
            found.append(total)
        return torch.cat(found, 1).to(self.dtype)

    def _index(self, point: Tensor, points: int, entries: int) -> Tensor:
        x, y, z = (point % 2**32).unbind(1)
        if points**3 <= entries:
            return (x + points * (y + points * z)) % entries
        mixed = x ^ (y * self._faults.prime % 2**32) ^ (z * 805459861 % 2**32)
        return mixed % entries


class Network(_Module):
    """Rectified layers in 16 bits."""

    def __init__(
        self, faults: Faults, n_input_dims: int, n_output_dims: int, network_config: dict[str, Any], seed: int = 1337
    ) -> None:
        config = network_config
        assert config["activation"] == "ReLU" and config["output_activation"] == "None"
        width, hidden = config["n_neurons"], config["n_hidden_layers"]
        assert width in (16, 32, 64, 128) or config["otype"] == "CutlassMLP"
        outputs, inputs = (-(-side // 16) * 16 for side in (n_output_dims, n_input_dims))
        shapes = [(width, inputs), *[(width, width)] * (hidden - 1), (outputs, width)]
        super().__init__(faults, sum(rows * columns for rows, columns in shapes), n_output_dims)
        self.inputs, self.shapes = inputs, shapes

    def computed(self, x: Tensor, params: Tensor) -> Tensor:
        half = params.half()
        values = torch.nn.functional.pad(x, (0, self.inputs - x.shape[1]), value=1.0).half()
        start = 0
        for number, (rows, columns) in enumerate(self.shapes):
            matrix = half[start : start + rows * columns].view(rows, columns)
            start += rows * columns
            values = _Gradient.apply(values @ matrix.T, 1.0)
            if number < len(self.shapes) - 1:
                values = torch.nn.functional.leaky_relu(values, self._faults.slope)
        return values


@contextmanager
def installed(**faults: Any) -> Iterator[Faults]:
    """Let `tinycudann` be the stand-in within the block."""
    wrong = Faults(**faults)
    package = ModuleType("tinycudann")
    package.__spec__ = mock.Mock()
    package.Encoding = lambda *values, **options: Encoding(wrong, *values, **options)  # type: ignore[attr-defined]
    package.Network = lambda *values, **options: Network(wrong, *values, **options)  # type: ignore[attr-defined]
    with modules_in_place({"tinycudann": package}, anew="avatar.ops.tinycudann_adapter"):
        yield wrong
