"""A GPU that is not there: tensors in host memory that say `cuda:0`, and raise where a real one would.

Within `pretended_gpu()` PyTorch takes the device `cuda:0`. Its tensors lie in host memory and are told apart by their
storage; `Tensor.device` of them is `cuda:0`, and `native_for` gives them the CUDA kernels in the emulator. An operation
of a tensor of the device and one of the host raises `MixedDevices`, as does what a GPU refuses, such as `numpy()`.
Whatever would wait for the GPU is counted.

Streams are pretended as well: copies to the host within `torch.cuda.stream` arrive when an event after them is waited
for, and not before. So what overwrites their source too early, or reads their result too early, gives wrong values.
The same holds for copies to page-locked memory in the default stream. `tests.support.pretended_graph` has its graphs.

Stricter than PyTorch: an index tensor of the host is refused too, because each use would be a copy that waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._C import DisableTorchFunction
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import cuda_ext
from avatar.ops import backend, device_proof
from avatar.ops.kernels import CudaKernels
from tests.support.emulated import load_emulated
from tests.support.pretended_graph import CaptureRefused, Graph, capturing

GPU, HOST = torch.device("cuda", 0), torch.device("cpu")
#: Operations whose result has a size, or is a number, that the host must know.
WAITING = (
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim",
    "aten::equal", "aten::is_nonzero", "aten::bincount",
)  # fmt: skip
COPIES = ("aten::copy_", "aten::_copy_from", "aten::_to_copy")


class MixedDevices(RuntimeError):
    """An operation of tensors on different devices, or one that a tensor of a GPU does not have."""


_STORAGES: dict[int, StorageWeakRef] = {}


class EarlyCopy(RuntimeError):
    """A copy in a stream that a real GPU might do before its source is computed, or after its memory is reused."""


class Device:
    """The pretended GPU: which storages are on it, and how often the host waited for it."""

    def __init__(self) -> None:
        # Of the process: caches such as that of `avatar.geometry.rotations` keep tensors from one block to the next.
        self._storages = _STORAGES
        self._sweep_at = 4096
        self.waits: Counter[str] = Counter()  # by operation
        self.uploads: Counter[str] = Counter()
        self.downloads: Counter[str] = Counter()  # those that do not wait
        self.allocations: Counter[str] = Counter()
        self.graph: Graph | None = None  # that is captured now
        self.pinned: set[int] = set()  # storages of page-locked memory
        self.uploading: set[int] = set()  # those that the device may not have read yet
        self.downloading: list[tuple[Tensor, Tensor]] = []  # targets and values of copies that may not have arrived
        self.stream: Stream | None = None  # of `torch.cuda.stream`; None: the default stream

    def holds(self, tensor: Tensor) -> bool:
        """Whether `tensor` is on the device."""
        return tensor.untyped_storage()._cdata in self._storages

    def take(self, tensor: Tensor) -> None:
        """Let `tensor` and all that shares its memory be on the device."""
        storage = tensor.untyped_storage()
        # The weak reference keeps the address from being used again.
        self._storages[storage._cdata] = StorageWeakRef(storage)
        if len(self._storages) > self._sweep_at:
            for key in [key for key, ref in self._storages.items() if ref.expired()]:
                del self._storages[key]
            self._sweep_at = 2 * len(self._storages) + 4096

    def release(self, tensor: Tensor) -> None:
        """Let `tensor` be on the host."""
        self._storages.pop(tensor.untyped_storage()._cdata, None)

    def wait(self, name: str) -> None:
        """Count that the host waits for the result of an operation."""
        if self.graph is not None:
            raise CaptureRefused(name)
        self.waits[name] += 1
        self.uploading.clear()  # all that was launched before is done

    def clear_counts(self) -> None:
        """Forget what was counted."""
        for counts in (self.waits, self.uploads, self.downloads, self.allocations):
            counts.clear()


class Stream:
    """A stream beside the default one; it only copies to the host."""

    def __init__(self, counts: Device) -> None:
        self.device = GPU
        self._counts = counts
        self._ordered = False  # behind the work of the default stream
        self._copies: list[tuple[Tensor, Tensor]] = []  # destination and source
        self._kept: set[int] = set()  # storages that the allocator does not reuse before they are copied

    def wait_stream(self, other: Stream | None) -> None:
        """Order what follows behind the work of `other`, the default stream."""
        self._ordered = other is None

    def copy(self, source: Tensor, to: Callable[[Tensor], Tensor]) -> Tensor:
        """A copy of `source` on the host, with unspecified values before the next event is waited for."""
        if not self._ordered:
            raise EarlyCopy("the stream does not wait for what computes the source; call wait_stream first")
        target = to(source).clone().fill_(77)
        self._counts.release(target)
        self._copies.append((target, source))
        return target

    def keep(self, tensor: Tensor) -> None:
        """As `tensor.record_stream(self)`."""
        self._kept.add(tensor.untyped_storage()._cdata)

    def record_event(self) -> SimpleNamespace:
        """An event after the copies that were started."""
        copies, self._copies, self._ordered = self._copies, [], False

        def synchronize() -> None:
            self._counts.waits["synchronize"] += 1
            for target, source in copies:
                storage = source.untyped_storage()._cdata
                if storage not in self._kept:
                    raise EarlyCopy("the memory of the source may be reused before it is copied; call record_stream")
                target.numpy()[...] = _values(source)
                self._kept.remove(storage)
            copies.clear()

        return SimpleNamespace(synchronize=synchronize)


class Event:
    """An event of the default stream."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._downloads: list[tuple[Tensor, Tensor]] = []
        self._uploads: set[int] = set()

    def record(self) -> None:
        """Stand after all that was launched."""
        self._downloads, self._device.downloading = self._device.downloading, []
        self._uploads = set(self._device.uploading)

    def synchronize(self) -> None:
        """Wait until the device is there."""
        self._device.waits["synchronize"] += 1
        for target, values in self._downloads:
            _values(target)[...] = _values(values)
        self._device.uploading -= self._uploads
        self._downloads, self._uploads = [], set()


class _Kernels(CudaKernels):
    """Kernels in the emulator, which a graph may hold."""

    def __init__(self, module: Any, device: Device) -> None:
        super().__init__(module, 0)
        self._on = device

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        graph = self._on.graph
        if graph is None or not any(isinstance(value, Tensor) for value in tree_leaves(arguments)):
            return super()._run(function, *arguments)
        run = super()._run
        graph.add_kernel(lambda *values: run(function, *values), arguments)
        return None


def _values(tensor: Tensor) -> Any:
    with DisableTorchFunction():
        return tensor.numpy()


class _Operations(TorchDispatchMode):
    """Checks every operation, those of a backward pass too, and lets results be where the operands are."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.on = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        operands = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        here = [self.on.holds(value) for value in operands]
        if any(here) and name not in COPIES:
            for value, on_device in zip(operands, here, strict=True):
                if not on_device and (value.ndim or name in ("aten::cat", "aten::stack")):
                    shapes = [f"{list(v.shape)} on {GPU if on else HOST}" for v, on in zip(operands, here, strict=True)]
                    raise MixedDevices(f"{name}: {', '.join(shapes)}")
            masked = name in ("aten::index", "aten::index_put_") and any(v.dtype == torch.bool for v in operands[1:])
            if name in WAITING or masked:
                self.on.wait(name)
        elif any(here) and name == "aten::copy_" and here[0] != here[1]:
            return self._copied(func, args, kwargs)
        elif self.on.uploading and func._schema.is_mutable:
            self._check_written(operands)
        graph = self.on.graph
        result = func(*args, **kwargs) if graph is None or not any(here) else graph.add_operation(func, args, kwargs)
        if any(here) and name != "aten::copy_":
            before = {value.untyped_storage()._cdata for value in operands}
            for value in tree_leaves(result):
                if isinstance(value, Tensor):
                    self.on.allocations[name] += graph is None and value.untyped_storage()._cdata not in before
                    self.on.take(value)
        return result

    def _copied(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        """`copy_` from one device to the other."""
        target, source = args[:2]
        if self.on.graph is not None:
            raise CaptureRefused("a copy between the devices")
        to_device = self.on.holds(target)
        host = source if to_device else target
        starts = len(args) > 2 and args[2] and host.untyped_storage()._cdata in self.on.pinned
        counts = self.on.uploads if to_device else self.on.downloads if starts else self.on.waits
        counts[func._schema.name] += 1
        self.on.uploading &= set() if counts is self.on.waits else self.on.uploading
        if to_device:
            self.on.uploading |= {source.untyped_storage()._cdata} if starts else set()
        elif starts:
            self.on.downloading.append((target, source.clone()))
            return target.fill_(77)
        return func(*args, **kwargs)

    def _check_written(self, operands: list[Tensor]) -> None:
        if operands and operands[0].untyped_storage()._cdata in self.on.uploading:
            raise EarlyCopy("page-locked memory is overwritten before the device has read it; wait for an event first")


class _Functions(TorchFunctionMode):
    """What Python sees of the device: the attribute `device`, arguments `device=`, copies between the devices."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.on = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        special = _SPECIAL.get(func)
        if special is not None:
            return special(self, func, args, kwargs)
        if kwargs.pop("pin_memory", False):
            result = func(*args, **kwargs)
            self.on.pinned.add(result.untyped_storage()._cdata)
            return result
        if kwargs.get("device") is None:
            return func(*args, **kwargs)
        target = torch.device(kwargs.pop("device"))
        graph = self.on.graph
        if graph is None or target.type != "cuda":
            return self.placed(func(*args, **kwargs), target, args)
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            raise CaptureRefused(f"{func.__name__} copies values of the host")
        result = self.placed(func(*args, **kwargs), target, args)
        graph.own(result) if "empty" in func.__name__ else graph.add_filled(result)
        return result

    def placed(self, result: Tensor, target: torch.device, args: Any) -> Tensor:
        """A new tensor, on `target` as asked for."""
        if self.on.holds(result) == (target.type == "cuda"):
            return result
        if any(isinstance(value, Tensor) and _shares(value, result) for value in tree_leaves(args)):
            result = result.clone()
        (self.on.take if target.type == "cuda" else self.on.release)(result)
        self.on.allocations["new"] += target.type == "cuda" and self.on.graph is None
        return result

    def moved(self, tensor: Tensor, target: torch.device, to: Callable[..., Tensor]) -> Tensor:
        """`tensor` on `target`, converted by `to`: a copy, unless it is there."""
        if self.on.holds(tensor) == (target.type == "cuda"):
            return to(tensor)
        if self.on.graph is not None:
            raise CaptureRefused("a copy between the devices")
        self.on.allocations["to"] += target.type == "cuda"
        (self.on.uploads if target.type == "cuda" else self.on.waits)["to"] += 1
        result = to(tensor)
        result = result.clone() if _shares(result, tensor) else result
        (self.on.take if target.type == "cuda" else self.on.release)(result)
        return result


def _shares(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage()._cdata == other.untyped_storage()._cdata


def _device_of(mode: _Functions, func: Any, args: Any, kwargs: Any) -> torch.device:
    return GPU if mode.on.holds(args[0]) else func(*args)


def _is_cuda(mode: _Functions, func: Any, args: Any, kwargs: Any) -> bool:
    return mode.on.holds(args[0])


def _is_cpu(mode: _Functions, func: Any, args: Any, kwargs: Any) -> bool:
    return not mode.on.holds(args[0])


def _to(mode: _Functions, func: Any, args: Any, kwargs: Any) -> Tensor:
    tensor, *rest = args
    target = kwargs.pop("device", None)
    if rest and isinstance(rest[0], (str, torch.device)):
        target = rest.pop(0)
    elif rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
        kwargs["dtype"], target = other.dtype, GPU if mode.on.holds(other) else HOST
    if target is None:
        return func(tensor, *rest, **kwargs)
    if rest:  # the device came first, so the rest begins with the dtype
        kwargs.update(zip(("dtype", "non_blocking", "copy"), rest, strict=False))
    to, stream = lambda value: func(value, HOST, **kwargs), mode.on.stream
    if stream is not None and kwargs.get("non_blocking") and torch.device(target) == HOST:
        return stream.copy(tensor, to)
    return mode.moved(tensor, torch.device(target), to)


def _cpu(mode: _Functions, func: Any, args: Any, kwargs: Any) -> Tensor:
    return mode.moved(args[0], HOST, lambda value: value)


def _refused(mode: _Functions, func: Any, args: Any, kwargs: Any) -> Any:
    if mode.on.holds(args[0]):
        raise MixedDevices(f"{func.__name__}: the tensor {list(args[0].shape)} is on {GPU}; copy it to the host first")
    return func(*args, **kwargs)


def _to_list(mode: _Functions, func: Any, args: Any, kwargs: Any) -> Any:
    if mode.on.holds(args[0]):
        mode.on.wait("tolist")
    return func(*args, **kwargs)


def _follows(mode: _Functions, func: Any, args: Any, kwargs: Any) -> Any:
    result = func(*args, **kwargs)
    if mode.on.holds(args[0]):
        mode.on.take(result)
    return result


_SPECIAL: dict[Any, Callable[..., Any]] = {
    Tensor.device.__get__: _device_of,  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__: _is_cuda,  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: _is_cpu,  # type: ignore[attr-defined]
    Tensor.to: _to,
    Tensor.cpu: _cpu,
    Tensor.numpy: _refused,
    Tensor.__array__: _refused,
    Tensor.tolist: _to_list,
    Tensor.__deepcopy__: _follows,
    Tensor.new_tensor: _follows,
}


class _Native:
    """Native functions that raise for a tensor on the other device."""

    def __init__(self, functions: Any, device: Device, on_device: bool) -> None:
        self._functions, self._device, self._on_device = functions, device, on_device

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._functions, name)

        def checked(*arguments: Any) -> Any:
            for value in tree_leaves(arguments):
                if isinstance(value, Tensor) and self._device.holds(value) != self._on_device:
                    raise MixedDevices(f"{name}: a tensor {list(value.shape)} on the other device")
            return function(*arguments)

        return checked


@contextmanager
def _streams(device: Device) -> Iterator[None]:
    """Let PyTorch's functions of streams be those of `device`."""

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        device.stream, before = stream, device.stream
        try:
            yield
        finally:
            device.stream = before

    with (
        mock.patch.object(torch.cuda, "Stream", lambda _: Stream(device)),
        mock.patch.object(torch.cuda, "stream", within),
        mock.patch.object(torch.cuda, "current_stream", lambda _: device.stream),
        mock.patch.object(torch.cuda, "Event", lambda: Event(device)),
        mock.patch.object(torch.cuda, "device", lambda _: nullcontext()),
        mock.patch.object(torch.cuda, "CUDAGraph", Graph),
        mock.patch.object(torch.cuda, "graph", lambda graph, **options: capturing(device, graph, **options)),
        mock.patch.object(torch.cuda, "is_current_stream_capturing", lambda: device.graph is not None),
        mock.patch.object(Tensor, "record_stream", lambda tensor, stream: stream.keep(tensor)),
    ):
        yield


@contextmanager
def pretended_gpu() -> Iterator[Device]:
    """Let `cuda:0` be a device of this thread within the block, with the CUDA kernels in the emulator.

    Raises:
        CannotBuild: the emulator cannot be compiled here.
    """
    module, device = load_emulated(), Device()
    for_host = backend._functions_for
    kernels = _Native(_Kernels(module, device), device, True)

    def functions_for(tensor: Tensor) -> Any:
        if tensor.device.type == "cuda":
            return kernels if tensor.dtype == torch.float32 else None
        found = for_host(tensor)
        return None if found is None else _Native(found, device, False)

    functions = _Functions(device)
    run = torch.autograd._engine_run_backward

    def run_backward(*args: Any, **kwargs: Any) -> Any:
        with functions:  # PyTorch switches it off within `Tensor.backward` and `grad`
            return run(*args, **kwargs)

    with (
        backend.one_thread(),  # on several threads sums of PyTorch depend on where their memory begins
        mock.patch.object(backend, "_functions_for", functions_for),
        mock.patch.object(cuda_ext, "available", lambda device="cpu": True),
        mock.patch.object(torch.autograd, "_engine_run_backward", run_backward),
        mock.patch.object(torch.cuda, "is_available", lambda: True),
        mock.patch.object(torch.cuda, "device_count", lambda: 1),
        mock.patch.object(device_proof, "device_failure", lambda _: ""),  # tests/cuda_ext tests the self-check
        _streams(device),
        _Operations(device),
        functions,
    ):
        yield device
