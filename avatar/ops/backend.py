"""Which native kernels, if any, take a tensor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import cuda_ext

from .cuda import CudaKernels

_observer: Callable[[Any], Any] | None = None
#: Of `one_thread_each`: the numbers of threads before the first block, then an entry a block that runs.
_single: list[int] = []
_single_lock = threading.Lock()


def native_for(tensor: Tensor) -> Any:
    """The native functions for tensors like this one, or None where only `avatar.reference` fits.

    They have the same names and arguments for every device; those of a CUDA tensor run on its current stream.
    """
    native = _functions_for(tensor)
    return native if native is None or _observer is None else _observer(native)


def _functions_for(tensor: Tensor) -> Any:
    if tensor.dtype != torch.float32:
        return None
    if tensor.device.type == "cpu" and cuda_ext.available("cpu"):
        return cuda_ext.native()
    if tensor.device.type == "cuda" and cuda_ext.available("cuda"):
        stream = torch.cuda.current_stream(tensor.device).cuda_stream
        return CudaKernels(cuda_ext.native().cuda, stream, tensor.device)
    return None


@contextmanager
def observed(wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Within the block `native_for` returns `wrap(functions)`: how the benchmark times single kernels."""
    global _observer
    before, _observer = _observer, wrap
    try:
        yield
    finally:
        _observer = before


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: tensors of one picture are small, and its idle threads spin beside the kernels' own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """PyTorch and the native kernels on one thread a call, in the whole process, for callers with threads of their own.

    Several blocks may overlap in any order: the last to end puts back what the first one found. Results do not change:
    they never depend on the number of threads.
    """
    with _single_lock:
        if not _single:
            _single.extend([torch.get_num_threads(), kernel_threads()])
            _set_threads(1, 1)
        _single.append(0)
    try:
        yield
    finally:
        with _single_lock:
            _single.pop()
            if len(_single) == 2:
                _set_threads(*_single)
                _single.clear()


def kernel_threads() -> int:
    """Threads that a call of a native CPU kernel runs on, at most."""
    return cuda_ext.native().threads() if cuda_ext.available("cpu") else 1


def _set_threads(torch_threads: int, native_threads: int) -> None:
    torch.set_num_threads(torch_threads)
    if cuda_ext.available("cpu"):
        cuda_ext.native().set_threads(native_threads)


def keep_memory() -> None:
    """Keep freed CPU memory in this process: a loop over frames otherwise spends more time on fresh pages than on work.

    Changes the C library's settings for the whole process and does nothing where they do not exist.
    """
    if cuda_ext.available("cpu"):
        cuda_ext.native().keep_freed_memory()
