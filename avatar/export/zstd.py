"""Zstandard frames (RFC 8878): compressed where a library is installed, else valid frames of stored blocks."""

from __future__ import annotations

import importlib
import struct
from typing import Any

#: Python's own from 3.14 on, then the package of the same format.
_LIBRARIES = ("compression.zstd", "zstandard")
_LEVEL = 12
_BLOCK = 1 << 17  # bytes, the largest of the format


def zstd_frame(data: bytes) -> bytes:
    """One frame of `data` (< 4 GiB) that stores its size."""
    library = _library()
    return stored_frame(data) if library is None else bytes(library.compress(data, _LEVEL))


def stored_frame(data: bytes) -> bytes:
    """One frame of `data` (< 4 GiB) in stored blocks, 3 bytes larger per block, for any reader of the format."""
    size_of_4_bytes, single_segment = 2 << 6, 1 << 5
    parts = [struct.pack("<IBI", 0xFD2FB528, size_of_4_bytes | single_segment, len(data))]
    for start in range(0, max(len(data), 1), _BLOCK):
        block = data[start : start + _BLOCK]
        is_last = start + _BLOCK >= len(data)
        parts += [struct.pack("<I", len(block) << 3 | is_last)[:3], block]
    return b"".join(parts)


def _library() -> Any:
    """The first installed library with `compress(data, level)`; None without one."""
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
