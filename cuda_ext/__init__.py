"""Native kernels of headsplat: the compiled module `_C`, if it is built, and its settings.

Importing this package always succeeds; `available(device)` returns whether kernels for the device can run and
`reason(device)` why not. The kernels take contiguous arrays and check only sizes and indices; call them through
`avatar.ops`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from types import ModuleType

from ._devices import DeviceState, problem

__all__ = [
    "available",
    "cuda_architectures",
    "native",
    "reason",
    "set_simd_level",
    "set_threads",
    "simd_level",
    "threads",
]

_C: ModuleType | None = None
_failure = ""
try:
    _C = import_module("._C", __name__)
except ImportError as error:
    _failure = str(error)


def available(device: str = "cpu") -> bool:
    """Whether native kernels for "cpu" or "cuda" can run in this process."""
    if device == "cuda":
        return _C is not None and not _cuda_problem()
    return device == "cpu" and _C is not None


def reason(device: str = "cpu") -> str:
    """One sentence: what the kernels for `device` run on, or why they are not available."""
    if _C is None:
        return f"The native module is not built ({_failure}); install headsplat on a machine with a C++ compiler."
    if device == "cpu":
        return f"CPU kernels at level {simd_level()} on {threads()} threads."
    if device == "cuda":
        return _cuda_problem() or f"CUDA kernels for architectures {cuda_architectures()}."
    return f"No native kernels exist for device '{device}'; use 'cpu' or 'cuda'."


def cuda_architectures() -> str:
    """Compiled CUDA architectures in CMake's names, such as "80-real 90-real 90-virtual"; empty without CUDA code."""
    return str(_C.cuda_architectures()) if _C is not None else ""


@lru_cache(maxsize=1)
def _cuda_problem() -> str:
    """Why no CUDA kernel can run in this process, in one sentence; empty when they can. Queries the driver once."""
    architectures = cuda_architectures()
    return problem(architectures, DeviceState(*native().cuda.device_state()) if architectures else None)


def native() -> ModuleType:
    """The compiled module.

    Raises:
        ImportError: it is not built.
    """
    if _C is None:
        raise ImportError(reason("cpu"))
    return _C


def simd_level() -> str:
    """Instruction set in use: "v4" (AVX-512), "v3" (AVX2), "v2" (SSE4.2), "neon" (64-bit ARM), "portable", or "none"
    without the module.

    The environment variable HEADSPLAT_SIMD, read once, selects a level that the processor has.
    """
    return str(_C.simd_level()) if _C is not None else "none"


def set_simd_level(name: str) -> None:
    """Select another level, starting with the next call.

    Raises:
        ValueError: the name is unknown or the processor lacks the level.
    """
    if not native().set_simd_level(name):
        raise ValueError(f"name: expected v4, v3, v2, neon or portable, supported by the processor, got {name!r}")


def threads() -> int:
    """Number of threads of a native call; by default as many as the process may run on."""
    return int(_C.threads()) if _C is not None else (os.cpu_count() or 1)


def set_threads(count: int) -> None:
    """Set the number of threads, starting with the next call; results do not depend on it.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"count: expected 1 or more, got {count}")
    native().set_threads(count)
