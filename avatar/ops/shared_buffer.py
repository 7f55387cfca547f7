"""A buffer of OpenGL that CUDA fills, so that an image comes to the window without a way through the host.

These are nine functions of the CUDA runtime that PyTorch has loaded, called by ctypes: their C interface has been the
same for ten years. A package of bindings would be one more to install, and would bring a runtime of its own. Nothing
here needs OpenGL: its buffers are numbers, of the context that is current in the calling thread. It has never run on a
GPU. So it is used only after its self-check (`viewer/gui/shared_check.py`) has found the same pixels as by the copy
through the host.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_int, c_size_t, c_uint, c_void_p
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .proof_cache import describe, keep_failure, stored_failure, stored_failures

VERSION = 1  #: of the self-check: change it with its images, or with this file
_PACKAGE = "OpenGL"
#: Of cudaGraphicsRegisterFlags, cudaGLDeviceList and cudaMemcpyKind.
_WRITE_DISCARD, _ALL_DEVICES, _DEVICE_TO_DEVICE = 2, 1, 3
_MOST_DEVICES = 64
#: name -> types of the arguments; each returns a cudaError_t
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cudaGLGetDevices": (POINTER(c_uint), POINTER(c_int), c_uint, c_int),
    "cudaGraphicsGLRegisterBuffer": (POINTER(c_void_p), c_uint, c_uint),
    "cudaGraphicsMapResources": (c_int, POINTER(c_void_p), c_void_p),
    "cudaGraphicsResourceGetMappedPointer": (POINTER(c_void_p), POINTER(c_size_t), c_void_p),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaGraphicsUnmapResources": (c_int, POINTER(c_void_p), c_void_p),
    "cudaGraphicsUnregisterResource": (c_void_p,),
    "cudaGetLastError": (),
}


class SharingError(RuntimeError):
    """CUDA and OpenGL cannot share memory here; the message says which call failed and how."""


class SharedBuffer:
    """A buffer of OpenGL, registered with CUDA; used in the thread of its context only."""

    def __init__(self, number: int, size: int, device: torch.device) -> None:
        """
        Args:
            number: the buffer's name in OpenGL.
            size: of the buffer, bytes.
            device: the GPU that fills it.

        Raises:
            SharingError: another GPU draws the window, or CUDA refuses the buffer.
        """
        self.size = size
        self._device = device
        self._resource = c_void_p()
        with torch.cuda.device(device):
            count, drawing = c_uint(), (c_int * _MOST_DEVICES)()
            _call("cudaGLGetDevices", byref(count), drawing, _MOST_DEVICES, _ALL_DEVICES)
            if device.index not in drawing[: count.value]:
                raise SharingError(f"OpenGL draws on another GPU than {device}")
            _call("cudaGraphicsGLRegisterBuffer", byref(self._resource), number, _WRITE_DISCARD)

    def fill(self, values: Tensor) -> None:
        """Copy a tensor of the device into the buffer, after all that was launched, before all that OpenGL does next.

        Args:
            values: uint8 of any shape, contiguous, as many bytes as the buffer has.

        Raises:
            SharingError: CUDA refuses.
        """
        if values.nbytes != self.size or not values.is_contiguous() or values.device != self._device:
            raise ValueError(f"a buffer of {self.size} bytes on {self._device} cannot be filled with {values.shape}")
        stream = _stream(self._device)
        with torch.cuda.device(self._device):
            _call("cudaGraphicsMapResources", 1, byref(self._resource), stream)
            try:
                pointer, size = c_void_p(), c_size_t()
                _call("cudaGraphicsResourceGetMappedPointer", byref(pointer), byref(size), self._resource)
                if not pointer or size.value < self.size:
                    raise SharingError(f"CUDA maps {size.value if pointer else 0} bytes of a buffer of {self.size}")
                _call("cudaMemcpyAsync", pointer, values.data_ptr(), self.size, _DEVICE_TO_DEVICE, stream)
            finally:
                _call("cudaGraphicsUnmapResources", 1, byref(self._resource), stream)

    def release(self) -> None:
        """Let the buffer be OpenGL's alone, before that deletes it. Raises SharingError."""
        if self._resource:
            resource, self._resource = self._resource, c_void_p()
            with torch.cuda.device(self._device):
                _call("cudaGraphicsUnregisterResource", resource)


def _stream(device: torch.device) -> int:
    return torch.cuda.current_stream(device).cuda_stream


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the CUDA runtime; raises SharingError with the error's name."""
    functions = runtime()
    code = getattr(functions, name)(*arguments)
    if code:
        functions.cudaGetLastError()  # else PyTorch would take it for an error of its next kernel
        raise SharingError(f"{name} says {functions.cudaGetErrorName(code).decode()}")


@lru_cache(maxsize=1)
def runtime() -> Any:
    """The functions, of the CUDA runtime that PyTorch has loaded. Raises SharingError where it is not found."""
    major = (torch.version.cuda or "12").split(".")[0]
    names = (
        (f"cudart64_{major}.dll", f"cudart64_{major}0.dll")
        if sys.platform == "win32"
        else (None, f"libcudart.so.{major}", f"libcudart.so.{major}.0")  # None: what PyTorch shows to the process
    )
    for name in names:
        try:
            return prepared(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    raise SharingError(f"the CUDA runtime of torch {torch.__version__} is not found")


def prepared(library: Any) -> Any:
    """A library with the types of its functions set. Raises AttributeError where one is missing."""
    for name, types in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, c_int
    library.cudaGetErrorName.argtypes, library.cudaGetErrorName.restype = (c_int,), ctypes.c_char_p
    return library


def known_failure(device: torch.device, drawn_by: str) -> str | None:
    """How the self-check ended with this OpenGL, in one sentence, empty where it passed; None: it has not run."""
    return stored_failure(_what_is_checked(device, drawn_by))


def keep_result(device: torch.device, drawn_by: str, failure: str) -> None:
    """Keep how the self-check ended with the OpenGL `drawn_by`, for this GPU, driver, torch and kernels."""
    keep_failure(_what_is_checked(device, drawn_by), failure)


def _what_is_checked(device: torch.device, drawn_by: str) -> dict[str, str]:
    return {**describe(device, VERSION), "package": _PACKAGE, "version": drawn_by}


def state_of(device: torch.device | None) -> str:
    """How images come to the window, for people; checks nothing.

    Args:
        device: the GPU; None: there is none that our kernels can use.
    """
    if device is None:
        return "through the host: no GPU can be used"
    results = stored_failures({**describe(device, VERSION), "package": _PACKAGE})
    if not results:
        return "through the host until a window with --device cuda has checked the memory shared with OpenGL"
    found = [
        f"through the host: {failure}" if failure else f"memory shared with OpenGL ({checked['version']})"
        for checked, failure in results
    ]
    return "; ".join(found)
