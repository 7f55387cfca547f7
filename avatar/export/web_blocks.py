"""The container of an avatar for the web player: a preamble, a JSON header and little-endian blocks.

The layout is described in docs/formats/web.md; `viewer/web/src/container/container.js` reads it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"HSPLTWEB"
#: Of the header of an avatar.
FORMAT = "headsplat-web"
VERSION = 2
#: magic, version, bytes of the header, bytes of the file, CRC-32 of all that follows
PREAMBLE = struct.Struct("<8sIIII")
#: Blocks start at multiples of this many bytes, so that a typed array can view them.
ALIGNMENT = 4
_DTYPES = {"i1": "i8", "u1": "u8", "i2": "i16", "u2": "u16", "u4": "u32", "f2": "f16", "f4": "f32"}


class Blocks:
    """Arrays of a container, in the order in which they were added."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, name: str, values: NDArray[Any], **extra: Any) -> None:
        """Add `values` as the block `name`; `extra` are further keys of its entry in the header."""
        data = np.ascontiguousarray(values).tobytes()
        kind = _DTYPES[values.dtype.str[1:]]
        self._entries.append({"name": name, "dtype": kind, "shape": list(values.shape), "offset": self._size, **extra})
        padded = data + bytes(-len(data) % ALIGNMENT)
        self._parts.append(padded)
        self._size += len(padded)

    def add_quantized(self, name: str, rows: NDArray[Any], dtype: type[np.signedinteger[Any]] = np.int16) -> None:
        """Add `rows` [C,n] as integers: row c is `scale[c] * integer + zero[c]`.

        int16 covers the range of a row from end to end. int8 is symmetric about 0, so that a zero stays a zero.
        """
        most = np.iinfo(dtype).max
        rows = rows.astype(np.float64)
        low, high = (rows.min(1), rows.max(1)) if rows.size else (np.zeros(len(rows)),) * 2
        symmetric = dtype == np.int8
        zero = np.zeros_like(low) if symmetric else (low + high) / 2
        scale = (np.maximum(-low, high) if symmetric else (high - low) / 2) / most
        steps = (rows - zero[:, None]) / np.where(scale > 0, scale, 1)[:, None]
        self.add(name, np.rint(steps).astype(dtype), scale=scale.tolist(), zero=zero.tolist())

    def add_indices(self, name: str, values: NDArray[Any]) -> None:
        """Add indices as uint16, or as uint32 where one is larger."""
        narrow = not values.size or int(values.max()) <= np.iinfo(np.uint16).max
        self.add(name, values.astype(np.uint16 if narrow else np.uint32))

    def container(self, header: Mapping[str, Any]) -> bytes:
        """The container with `header`, plain JSON values, and all blocks; block offsets count from the first one."""
        text = json.dumps({**header, "blocks": self._entries}, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-(PREAMBLE.size + len(text)) % ALIGNMENT)
        body = text + b"".join(self._parts)
        return PREAMBLE.pack(MAGIC, VERSION, len(text), PREAMBLE.size + len(body), zlib.crc32(body)) + body


def header_of(container: bytes) -> dict[str, Any]:
    """The header of a container, whose blocks are not checked: the player does that.

    Raises:
        ValueError: it is no container of an avatar, is incomplete, or has another version.
    """
    if len(container) < PREAMBLE.size:
        raise ValueError("too short for a container")
    magic, version, length, total, _ = PREAMBLE.unpack_from(container)
    if (magic, version, total) != (MAGIC, VERSION, len(container)):
        raise ValueError("not a container of this version, or incomplete")
    header = json.loads(container[PREAMBLE.size : PREAMBLE.size + length])
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError("not a container of an avatar")
    return header
