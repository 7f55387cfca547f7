"""The CUDA runtime's functions of OpenGL, written from their documentation, over a real OpenGL context in software.

A mapped buffer is the memory of `glMapBuffer`, a pointer of the device one of the host. As documented, OpenGL may not
use a buffer while it is mapped, and a second mapping is an error. `fault` makes a function wrong.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from ctypes import CFUNCTYPE, c_int, c_void_p
from typing import Any

import numpy as np

from avatar.ops.shared_buffer import FUNCTIONS

_PIXEL_UNPACK_BUFFER, _WRITE_ONLY, _BUFFER_SIZE = 0x88EC, 0x88B9, 0x8764
_NAMES = {1: b"cudaErrorInvalidValue", 219: b"cudaErrorInvalidGraphicsContext", 400: b"cudaErrorInvalidResourceHandle",
          999: b"cudaErrorUnknown"}  # fmt: skip
SUCCESS = 0


class CudaRuntime:
    """As a library of `ctypes`; raises OSError where there is no OpenGL."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.calls: Counter[str] = Counter()
        self.registered: dict[int, int] = {}  # resource -> buffer
        self.mapped: dict[int, int] = {}  # resource -> address
        self.rows = 1  # of the images, for the fault "flipped rows"
        self._last = SUCCESS
        self._before: bytes | None = None
        self._gl = ctypes.CDLL("libGL.so.1")
        self._gl.glMapBuffer.restype = c_void_p
        for name, types in FUNCTIONS.items():
            setattr(self, name, CFUNCTYPE(c_int, *types)(self._counted(name)))
        self.cudaGetErrorName = _NAMES.__getitem__

    def _counted(self, name: str) -> Any:
        function = getattr(self, f"_{name}")

        def call(*arguments: Any) -> int:
            self.calls[name] += 1
            code = int(function(*arguments))
            self._last = code or self._last
            return code

        return call

    def _cudaGetLastError(self) -> int:
        self._last = SUCCESS
        return SUCCESS

    def _cudaGLGetDevices(self, count: Any, devices: Any, most: int, which: int) -> int:
        assert which == 1 and most >= 1
        count[0], devices[0] = 1, 1 if self.fault == "another GPU" else 0
        return SUCCESS

    def _cudaGraphicsGLRegisterBuffer(self, resource: Any, buffer: int, flags: int) -> int:
        if self.fault == "register" or flags != 2:
            return 219
        resource[0] = 1000 + self.calls["cudaGraphicsGLRegisterBuffer"]
        self.registered[resource[0]] = buffer
        return SUCCESS

    def _cudaGraphicsMapResources(self, count: int, resources: Any, stream: int | None) -> int:
        assert count == 1
        resource = resources[0]
        if self.fault == "map" or resource in self.mapped:
            return 999
        self._gl.glBindBuffer(_PIXEL_UNPACK_BUFFER, self.registered[resource])
        self.mapped[resource] = self._gl.glMapBuffer(_PIXEL_UNPACK_BUFFER, _WRITE_ONLY)
        self._gl.glBindBuffer(_PIXEL_UNPACK_BUFFER, 0)
        return SUCCESS

    def _cudaGraphicsResourceGetMappedPointer(self, pointer: Any, size: Any, resource: int) -> int:
        if resource not in self.mapped:
            return 999
        found = c_int()
        self._gl.glBindBuffer(_PIXEL_UNPACK_BUFFER, self.registered[resource])
        self._gl.glGetBufferParameteriv(_PIXEL_UNPACK_BUFFER, _BUFFER_SIZE, ctypes.byref(found))
        self._gl.glBindBuffer(_PIXEL_UNPACK_BUFFER, 0)
        pointer[0] = None if self.fault == "no pointer" else self.mapped[resource]
        size[0] = found.value // 2 if self.fault == "short" else found.value
        if self.fault == "wrong pointer":
            self._elsewhere = ctypes.create_string_buffer(found.value)
            pointer[0] = ctypes.addressof(self._elsewhere)
        return SUCCESS

    def _cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int | None) -> int:
        if self.fault == "copy" or kind != 3:
            return 1
        values = ctypes.string_at(source, size)
        if self.fault == "flipped rows":
            values = np.frombuffer(values, np.uint8).reshape(self.rows, -1)[::-1].tobytes()
        elif self.fault == "shifted":
            values = values[-3:] + values[:-3]
        elif self.fault == "stale":
            values, self._before = self._before or bytes(size), values
        ctypes.memmove(target, values[:size], min(size, len(values)))
        return SUCCESS

    def _cudaGraphicsUnmapResources(self, count: int, resources: Any, stream: int | None) -> int:
        resource = resources[0]
        if self.fault == "unmap":
            return 400
        if self.fault == "unmap forgotten":
            return SUCCESS
        self._gl.glBindBuffer(_PIXEL_UNPACK_BUFFER, self.registered[resource])
        assert self._gl.glUnmapBuffer(_PIXEL_UNPACK_BUFFER)
        self._gl.glBindBuffer(_PIXEL_UNPACK_BUFFER, 0)
        del self.mapped[resource]
        return SUCCESS

    def _cudaGraphicsUnregisterResource(self, resource: int) -> int:
        return SUCCESS if self.registered.pop(resource, None) is not None else 400
