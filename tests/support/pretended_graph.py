"""CUDA graphs of the pretended GPU: launches are recorded with their memory, and refused where CUDA refuses them.

During a capture nothing is computed: kernels and operations in place are only recorded, and what an operation allocates
is poisoned until the graph is replayed. A graph keeps the memory that it allocated, but not the memory that was there
before: if that is freed, a replay raises, where a real one would read what lies there then. Numbers that are passed by
value stay those of the capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

#: Launches of a graph, as a function for each.
Launch = Callable[[], None]


class CaptureRefused(RuntimeError):
    """What CUDA refuses while a stream is captured."""

    def __init__(self, what: str) -> None:
        super().__init__(f"operation not permitted when stream is capturing: {what}")


class Graph:
    """As `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.replays = 0
        self._own: list[Tensor] = []  # allocated in the capture
        self._own_storages: set[int] = set()
        self.holds: Callable[[Tensor], bool] = lambda tensor: True  # whether a tensor is on the device

    def replay(self) -> None:
        """Everything once more, in order."""
        with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
            for launch in self.launches:
                launch()
        self.replays += 1

    def own(self, tensor: Tensor) -> None:
        """Keep memory that the captured function allocated, with values that no graph may depend on."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own_storages:
            self._own_storages.add(storage._cdata)
            with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
                self._own.append(tensor.detach())

    def poison(self) -> None:
        """The end of the capture: nothing was computed."""
        for tensor in self._own:
            tensor.untyped_storage().fill_(0xFF)

    def add_kernel(self, function: Callable[..., Any], arguments: Any) -> None:
        """Record the launch of a native function."""
        found = self._memory_of(arguments)
        self.launches.append(lambda: function(*found()))

    def add_operation(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Record an operation of PyTorch; returns its result, whose values are not computed yet."""
        written = [
            value
            for argument, value in _given(func._schema, args, kwargs)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        found = self._memory_of((args, kwargs))
        if written:
            self.launches.append(lambda: _call(func, found))
            returned = [value for value in written if isinstance(value, Tensor)]
            return None if not func._schema.returns else returned[0] if len(func._schema.returns) == 1 else returned
        result = func(*args, **kwargs)
        operands = {
            value.untyped_storage()._cdata for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)
        }
        made = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        if all(value.untyped_storage()._cdata in operands for value in made):
            return result  # views: no launch
        for value in made:
            self.own(value)
        if "empty" not in func._schema.name:
            with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
                targets = [value.detach() for value in made]
            self.launches.append(lambda: _call_into(func, found, targets))
        return result

    def add_filled(self, tensor: Tensor) -> None:
        """Record that a new tensor is filled with the values that it has."""
        self.own(tensor)
        with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
            target, values = tensor.detach(), tensor.detach().clone()
        self.launches.append(lambda: target.copy_(values))

    def _memory_of(self, arguments: Any) -> Callable[[], Any]:
        """A function that gives `arguments` again: their own memory, or else what still lies at these addresses."""
        leaves, spec = tree_flatten(arguments)
        kept: list[Callable[[], Any]] = []
        with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
            for value in leaves:
                if not isinstance(value, Tensor):
                    kept.append(partial(_itself, value))
                elif not self.holds(value):  # a number, passed by value
                    kept.append(partial(_itself, value.detach().clone()))
                elif value.untyped_storage()._cdata in self._own_storages:
                    kept.append(partial(_itself, value.detach()))
                else:
                    kept.append(_found_again(value.detach()))
        return lambda: tree_unflatten([each() for each in kept], spec)


def _itself(value: Any) -> Any:
    return value


def _found_again(tensor: Tensor) -> Callable[[], Tensor]:
    """The tensor, if its memory was not freed, without keeping that memory."""
    weak = StorageWeakRef(tensor.untyped_storage())
    meta = tensor.dtype, tensor.storage_offset(), tensor.shape, tensor.stride()

    def find() -> Tensor:
        dtype, offset, shape, stride = meta
        storage = None if weak.expired() else torch.UntypedStorage._new_with_weak_ptr(weak.cdata)
        if storage is None:
            raise RuntimeError(f"a graph uses a tensor {list(shape)} whose memory was freed; its owner must keep it")
        return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)

    return find


def _given(schema: Any, args: Any, kwargs: Any) -> Iterator[tuple[Any, Any]]:
    for place, argument in enumerate(schema.arguments):
        value = args[place] if place < len(args) else kwargs.get(argument.name)
        for one in value if isinstance(value, (list, tuple)) else [value]:
            yield argument, one


def _call(func: Any, found: Callable[[], Any]) -> None:
    args, kwargs = found()
    func(*args, **kwargs)


def _call_into(func: Any, found: Callable[[], Any], targets: list[Tensor]) -> None:
    args, kwargs = found()
    results = [value for value in tree_leaves(func(*args, **kwargs)) if isinstance(value, Tensor)]
    for target, result in zip(targets, results, strict=True):
        target.copy_(result)


@contextmanager
def capturing(device: Any, graph: Graph, **options: Any) -> Iterator[None]:
    """As `torch.cuda.graph`."""
    assert options == {"capture_error_mode": "thread_local"}, options
    device.graph, graph.holds = graph, device.holds
    try:
        yield
    except BaseException:
        graph.launches.clear()
        raise
    finally:
        device.graph = None
    graph.poison()
