"""The CPU kernels, given tensors as DLPack capsules.

The native module would otherwise ask each tensor for a capsule through a Python method, which takes longer than the
rest of a call: a step of training passes two hundred tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

from torch import Tensor
from torch.utils.dlpack import to_dlpack


class CpuKernels:
    """The functions of `cuda_ext._C` that run on the CPU, with the same names and arguments."""

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
    return lambda *arguments: function(*map(_exported, arguments))


def _exported(value: Any) -> Any:
    if isinstance(value, Tensor):
        return to_dlpack(value)
    return tuple(map(_exported, value)) if type(value) is tuple else value
