"""Runs the graph of an ONNX file in PyTorch, with gradients, which no runtime for ONNX gives.

Only the operators of LPIPS networks are known; a file with others is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.errors import HeadsplatError

#: Below the root of a sum of squares: its gradient at zero is infinite.
_TINY = 1e-12

_Attributes = Mapping[str, Any]


def _conv(attributes: _Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(
        _pad(x, attributes, 0.0),
        weight,
        bias,
        tuple(attributes.get("strides", (1, 1))),
        0,
        tuple(attributes.get("dilations", (1, 1))),
        attributes.get("group", 1),
    )


def _max_pool(attributes: _Attributes, x: Tensor) -> Tensor:
    sizes = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1)))
    padded = _pad(x, attributes, float("-inf"))
    return F.max_pool2d(padded, *sizes, ceil_mode=bool(attributes.get("ceil_mode", 0)))


def _pad(x: Tensor, attributes: _Attributes, value: float) -> Tensor:
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID", b""):
        raise ValueError("padding that is computed from the size")
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return F.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x


def _reduce(mean: bool) -> Callable[..., Tensor]:
    def reduce(attributes: _Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = attributes.get("axes") if axes is None else axes.tolist()
        function = torch.mean if mean else torch.sum
        return function(x, dim=list(chosen or range(x.ndim)), keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


_OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda _, a, b: a + b,
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": _conv,
    "Div": lambda _, a, b: a / b,
    "Identity": lambda _, x: x,
    "MaxPool": _max_pool,
    "Mul": lambda _, a, b: a * b,
    "Pow": lambda _, a, b: a**b,
    "ReduceMean": _reduce(mean=True),
    "ReduceSum": _reduce(mean=False),
    "Relu": lambda _, x: F.relu(x),
    "Reshape": lambda _, x, shape: x.reshape(shape.tolist()),
    "Sqrt": lambda _, x: x.clamp_min(_TINY).sqrt(),
    "Sub": lambda _, a, b: a - b,
}


class OnnxGraph:
    """The graph of an ONNX file, as a function of its inputs."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            HeadsplatError: the package onnx is missing, no such file, not an ONNX file, or one with other operators.
        """
        try:
            import onnx
            from onnx import numpy_helper
        except ImportError as error:
            raise HeadsplatError(
                "a perceptual loss needs the package onnx; install it with `pip install 'headsplat[perceptual]'`"
            ) from error
        if not path.is_file():
            raise HeadsplatError(f"{path}: no such file; give an LPIPS network in ONNX format to --perceptual")
        try:
            graph = onnx.load(str(path)).graph
            constants = {entry.name: np.array(numpy_helper.to_array(entry)) for entry in graph.initializer}
            nodes = [
                (
                    node.op_type,
                    tuple(node.input),
                    node.output[0],
                    {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute},
                )
                for node in graph.node
            ]
        except Exception as error:
            raise HeadsplatError(f"{path}: not a readable ONNX network; give an LPIPS network") from error
        unknown = sorted({kind for kind, *_ in nodes} - set(_OPERATORS))
        if unknown:
            raise HeadsplatError(
                f"{path}: it has the operators {', '.join(unknown)}, which the perceptual loss does not know; give an "
                "LPIPS network"
            )
        self.inputs = [entry.name for entry in graph.input if entry.name not in constants]
        self._constants = {name: torch.from_numpy(value) for name, value in constants.items()}
        self._nodes = nodes
        self._output = graph.output[0].name

    def to(self, device: torch.device) -> OnnxGraph:
        """This graph with its constants on `device`; shapes and axes stay on the host."""
        self._constants = {
            name: value.to(device) if value.is_floating_point() else value for name, value in self._constants.items()
        }
        return self

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The first output for `inputs`, in the order of `self.inputs`."""
        values: dict[str, Tensor | None] = {"": None, **self._constants, **dict(zip(self.inputs, inputs, strict=True))}
        for kind, names, output, attributes in self._nodes:
            values[output] = _OPERATORS[kind](attributes, *(values[name] for name in names))
        result = values[self._output]
        assert result is not None
        return result
