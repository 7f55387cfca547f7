"""CUDA graphs: kernel launches that are recorded once and then repeated, with the same memory, by one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_ALIGNMENT = 16  # bytes: kernels load four floats at a time


def is_capturing(like: Tensor) -> bool:
    """Whether launches on the device of `like` are recorded now: then nothing may be read back."""
    return like.device.type == "cuda" and torch.cuda.is_current_stream_capturing()


class Graph:
    """The launches of a function on one GPU.

    What the function allocates stays allocated, at the same addresses, as long as the graph lives; what else it uses,
    the caller keeps. Python code of the function does not run again, so numbers that it passed by value are fixed.
    """

    def __init__(self, device: torch.device, run: Callable[[], None]) -> None:
        """Record what `run` launches, without executing it.

        Args:
            device: a GPU.
            run: launches on the current stream; it must have run once before, so that its kernels are loaded.

        Raises:
            RuntimeError: `run` does what a graph cannot hold, such as waiting for the device.
        """
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, such as those of a window, may allocate meanwhile.
        with torch.cuda.device(device), torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            run()

    def replay(self) -> None:
        """Launch everything on the current stream; waits for nothing."""
        self._graph.replay()


class PackedTensors:
    """Tensors of fixed shapes in one block of memory, which one copy moves to or from a device."""

    def __init__(self, like: Sequence[Tensor], device: torch.device, *, pinned: bool = False) -> None:
        """
        Args:
            like: give shapes and dtypes.
            device: of the block.
            pinned: page-locked memory of the host, for copies that do not wait.
        """
        starts, size = [], 0
        for tensor in like:
            starts.append(size)
            size += -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT
        self.block = (
            torch.empty(size, dtype=torch.uint8, pin_memory=True)
            if pinned
            else torch.empty(size, dtype=torch.uint8, device=device)
        )
        #: the tensors, contiguous, in the order of `like`; they share the memory of `block`
        self.tensors = [
            self.block[start : start + tensor.numel() * tensor.element_size()].view(tensor.dtype).view(tensor.shape)
            for start, tensor in zip(starts, like, strict=True)
        ]

    def set(self, values: Sequence[Tensor]) -> None:
        """Copy `values`, one for each tensor."""
        for target, value in zip(self.tensors, values, strict=True):
            target.copy_(value)
