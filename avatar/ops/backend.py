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


class _Blocks:
    """Blocks of `one_thread_each` that run, and the number of threads before the first of them."""

    def __init__(self) -> None:
        self.running = 0
        self.before = 1

    def enter(self, now: Callable[[], int], set_to: Callable[[int], None]) -> None:
        """One more block; the first one sets the number, which is `now()`, to 1."""
        if not self.running:
            self.before = now()
            set_to(1)
        self.running += 1

    def leave(self, set_to: Callable[[int], None]) -> None:
        """One block less; the last one puts the number back."""
        self.running -= 1
        if not self.running:
            set_to(self.before)


class _OwnBlocks(threading.local):
    """The blocks of each thread: PyTorch keeps a number of threads for every thread that calls it."""

    def __init__(self) -> None:
        self.blocks = _Blocks()


_kernel_blocks, _kernel_lock, _torch_blocks = _Blocks(), threading.Lock(), _OwnBlocks()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """The native kernels in the whole process and PyTorch in this thread on one thread a call.

    For callers with threads of their own, which set PyTorch to one thread themselves (`one_thread`): it keeps a number
    for each thread, and a new thread begins with what any thread has set last. Blocks may overlap in any order, in one
    thread or in several: the last to end puts back what the first one found, for PyTorch that of its own thread.
    Results do not change: they never depend on the number of threads.
    """
    own = _torch_blocks.blocks
    own.enter(torch.get_num_threads, torch.set_num_threads)
    with _kernel_lock:
        _kernel_blocks.enter(kernel_threads, _set_kernel_threads)
    try:
        yield
    finally:
        with _kernel_lock:
            _kernel_blocks.leave(_set_kernel_threads)
        own.leave(torch.set_num_threads)


def kernel_threads() -> int:
    """Threads that a call of a native CPU kernel runs on, at most."""
    return cuda_ext.native().threads() if cuda_ext.available("cpu") else 1


def _set_kernel_threads(count: int) -> None:
    if cuda_ext.available("cpu"):
        cuda_ext.native().set_threads(count)


def keep_memory() -> None:
    """Keep freed CPU memory in this process: a loop over frames otherwise spends more time on fresh pages than on work.

    Changes the C library's settings for the whole process and does nothing where they do not exist.
    """
    if cuda_ext.available("cpu"):
        cuda_ext.native().keep_freed_memory()
