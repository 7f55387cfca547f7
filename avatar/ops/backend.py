"""Selection of the native kernels for a tensor, and their threads and memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import cuda_ext

from .kernels import CudaKernels, cpu_kernels

_wrapper: Callable[[Any], Any] | None = None


def native_for(tensor: Tensor) -> Any:
    """The native functions for the dtype and device of `tensor`, or None where only `avatar.reference` supports them.

    Names and arguments are the same for every device; those for a CUDA tensor run on its current stream.
    """
    native = _functions_for(tensor)
    return native if native is None or _wrapper is None else _wrapper(native)


def _functions_for(tensor: Tensor) -> Any:
    if tensor.dtype != torch.float32:
        return None
    if tensor.device.type == "cpu" and cuda_ext.available("cpu"):
        return cpu_kernels(cuda_ext.native())
    if tensor.device.type == "cuda" and cuda_ext.available("cuda"):
        stream = torch.cuda.current_stream(tensor.device).cuda_stream
        return CudaKernels(cuda_ext.native().cuda, stream, tensor.device)
    return None


def cuda_problem() -> str:
    """Why the native kernels cannot run on a GPU of this machine, in one sentence; empty when they can."""
    return "" if cuda_ext.available("cuda") else cuda_ext.reason("cuda")


def kernels_module() -> Any:
    """The compiled module of all kernels, for its file and its state of the GPUs."""
    return cuda_ext.native()


def checks_indices(native: Any) -> bool:
    """Whether these native functions raise ValueError for an index out of range, as those for the CPU do.

    They check what they read, at no cost that can be measured; reading all indices before takes a tenth of a `bind`.
    """
    return native is not None and not hasattr(native, "splat_workspace")


@contextmanager
def wrapped_native(wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Within the block `native_for` returns `wrap(functions)`; the benchmark times single kernels with it."""
    global _wrapper
    before = _wrapper
    _wrapper = wrap
    try:
        yield
    finally:
        _wrapper = before


@contextmanager
def kernels_on_threads(count: int | None) -> Iterator[None]:
    """Run the native kernels for the CPU on `count` threads; None: on as many as before."""
    before = cuda_ext.threads()
    if count is not None:
        cuda_ext.set_threads(count)
    try:
        yield
    finally:
        if count is not None:
            cuda_ext.set_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: tensors of one frame are small, and its idle threads compete with the kernels'."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Blocks:
    """Number of active `one_thread_each` blocks, and the number of threads before the first of them."""

    def __init__(self) -> None:
        self.running = 0
        self.before = 1

    def enter(self, now: Callable[[], int], set_to: Callable[[int], None]) -> None:
        """Enter a block; the first one stores the number of threads `now()` and sets it to 1."""
        if not self.running:
            self.before = now()
            set_to(1)
        self.running += 1

    def leave(self, set_to: Callable[[int], None]) -> None:
        """Leave a block; the last one restores the number of threads."""
        self.running -= 1
        if not self.running:
            set_to(self.before)


class _ThreadBlocks(threading.local):
    """The blocks of each thread: PyTorch has a number of threads per calling thread."""

    def __init__(self) -> None:
        self.blocks = _Blocks()


_kernel_blocks = _Blocks()
_kernel_lock = threading.Lock()
_torch_blocks = _ThreadBlocks()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Run native kernels of the process, and PyTorch in this thread, on one thread per call.

    For callers with worker threads. A worker sets PyTorch to one thread itself (`one_thread`): PyTorch stores the
    number per thread, and a new thread starts with the last value set in any thread. Blocks may overlap in any order
    and in several threads: the last one to end restores the values that the first one found. Results do not depend on
    the number of threads.
    """
    blocks = _torch_blocks.blocks
    blocks.enter(torch.get_num_threads, torch.set_num_threads)
    with _kernel_lock:
        _kernel_blocks.enter(kernel_threads, _set_kernel_threads)
    try:
        yield
    finally:
        with _kernel_lock:
            _kernel_blocks.leave(_set_kernel_threads)
        blocks.leave(torch.set_num_threads)


def kernel_threads() -> int:
    """Maximum number of threads of a native CPU kernel."""
    return cuda_ext.native().threads() if cuda_ext.available("cpu") else 1


def _set_kernel_threads(count: int) -> None:
    if cuda_ext.available("cpu"):
        cuda_ext.native().set_threads(count)


def keep_memory() -> None:
    """Make the C library keep freed memory: otherwise a loop over frames spends most of its time on page faults.

    What is free already, such as the memory of a capture in the same process, goes back to the system first. Changes
    settings of the whole process; does nothing on platforms without them.
    """
    if cuda_ext.available("cpu"):
        cuda_ext.native().keep_freed_memory()
