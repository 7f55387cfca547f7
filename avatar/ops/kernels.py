"""The native kernels: those of CPU and CUDA have the same names and take the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import to_dlpack


class CpuKernels:
    """The functions of `cuda_ext._C` that run on the CPU, given tensors as DLPack capsules.

    The native module would otherwise ask each tensor for a capsule through a Python method, which takes longer than the
    rest of a call: a step of training passes two hundred tensors.
    """

    def __init__(self, module: ModuleType) -> None:
        for name in dir(module):
            function = getattr(module, name)
            if callable(function) and not name.startswith("_"):
                setattr(self, name, _taking_tensors(function))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(f"the native module has no function {name}; install headsplat again")


@lru_cache(maxsize=1)
def cpu_kernels(module: ModuleType) -> CpuKernels:
    """The kernels of the native module `module`."""
    return CpuKernels(module)


def _taking_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: function(*map(_export, arguments))


def _export(value: Any) -> Any:
    if isinstance(value, Tensor):
        return to_dlpack(value)
    return tuple(map(_export, value)) if type(value) is tuple else value


class CudaKernels:
    """The functions of `cuda_ext._C.cuda` on one stream, with the names and arguments of the CPU functions.

    The kernels never allocate: scratch memory is from PyTorch's allocator, which orders reuse by stream and supports
    graph capture.
    """

    def __init__(self, module: ModuleType, stream: int, device: torch.device | None = None) -> None:
        """`device` is the stream's; None for the tests' emulator."""
        self._module = module
        self._stream = stream
        self._device = device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._module, name)
        return lambda *arguments: self._run(function, *arguments)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        # Capsules: nanobind would ask the tensors themselves, some of which then wait, which a CUDA graph cannot hold.
        arguments = tuple(map(_export, arguments))
        if self._device is None:
            return function(*arguments, self._stream)
        # Kernels launch on the current device, which may differ from the tensors'.
        with torch.cuda.device(self._device):
            return function(*arguments, self._stream)

    # The following add scratch memory to the arguments of the CPU functions.

    def mesh(self, vertices: Tensor, faces: Tensor, K: Tensor, width: int, height: int, *rest: Any) -> None:
        scratch = _bytes(vertices, self._module.mesh_scratch(len(vertices), width, height))
        self._run(self._module.mesh, vertices, faces, K, width, height, *rest, scratch)

    def bind_backward(
        self,
        inputs: tuple[Tensor, ...],
        stretch: tuple[Tensor, ...] | None,
        of_outputs: tuple[Tensor | None, ...],
        of_inputs: tuple[Tensor | None, ...],
    ) -> None:
        vertices, triangles = inputs[:2]
        rows = 0 if stretch is None else stretch[1].shape[1]
        sums = of_inputs[0] is not None, of_inputs[-1] is not None
        size = self._module.bind_backward_scratch(*vertices.shape[:2], len(triangles), rows, *sums)
        self._run(self._module.bind_backward, inputs, stretch, of_outputs, of_inputs, _bytes(vertices, size))

    def vertex_stretch(self, vertices: Tensor, mesh: tuple[Tensor, ...], tensors: Tensor) -> None:
        scratch = _bytes(vertices, self._module.vertex_stretch_scratch(len(vertices), len(mesh[0])))
        self._run(self._module.vertex_stretch, vertices, mesh, tensors, scratch)

    def vertex_stretch_backward(self, vertices: Tensor, mesh: tuple[Tensor, ...], *grads: Tensor) -> None:
        scratch = _bytes(vertices, self._module.vertex_stretch_backward_scratch(len(vertices), len(mesh[0])))
        self._run(self._module.vertex_stretch_backward, vertices, mesh, *grads, scratch)

    def principal_strains_backward(self, points: tuple[Tensor, ...], *grads: Tensor) -> None:
        tensors, _, triangles, _ = points
        size = self._module.principal_strains_backward_scratch(*tensors.shape[:2], len(triangles))
        self._run(self._module.principal_strains_backward, points, *grads, _bytes(tensors, size))

    def ssim(self, a: Tensor, b: Tensor, mean: Tensor, grad: Tensor | None) -> None:
        scratch = _bytes(a, self._module.image_loss_scratch(*a.shape[:3], grad is not None))
        self._run(self._module.ssim, a, b, mean, grad, scratch)

    def photometric(self, rgb: Tensor, *rest: Any) -> None:
        with_gradient = any(grad is not None for grad in rest[-2:])
        scratch = _bytes(rgb, self._module.image_loss_scratch(*rgb.shape[:3], with_gradient))
        self._run(self._module.photometric, rgb, *rest, scratch)

    def blend_backward_weights(self, grad: Tensor, basis: Tensor, grad_weights: Tensor) -> None:
        size = self._module.blend_backward_weights_scratch(*grad_weights.shape, basis[0].numel())
        self._run(self._module.blend_backward_weights, grad, basis, grad_weights, _bytes(grad, size))


def _bytes(like: Tensor, size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device=like.device)
