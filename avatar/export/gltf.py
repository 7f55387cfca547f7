"""The binary container of glTF 2.0 (.glb): typed arrays in one buffer, described by JSON."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {np.dtype("<f4"): 5126, np.dtype("<u4"): 5125, np.dtype("<u2"): 5123, np.dtype("u1"): 5121}
ARRAY_BUFFER = 34962
ELEMENT_ARRAY_BUFFER = 34963
_MAGIC = b"glTF"
_VERSION = 2
_JSON = b"JSON"
_BIN = b"BIN\0"


class Buffer:
    """The binary buffer with a buffer view and an accessor for each array."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add_file(self, content: bytes) -> int:
        """Append a file, such as an image; returns the index of its buffer view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)})
        self.data += content + bytes(-len(content) % 4)
        return len(self.views) - 1

    def add(
        self, values: NDArray[Any], target: int | None = None, *, bounds: bool = False, normalized: bool = False
    ) -> int:
        """Append an array; returns the index of its accessor.

        Args:
            values: [n] or [n,c], float32, uint32, uint16 or uint8.
            target: ARRAY_BUFFER or ELEMENT_ARRAY_BUFFER for arrays of a mesh.
            bounds: store minimum and maximum, which the format requires for positions and for times.
            normalized: integers are 0..1 in units of their largest value.
        """
        rows = np.ascontiguousarray(values.reshape(len(values), -1))
        rows = rows.astype(rows.dtype.newbyteorder("<"), copy=False)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": rows.nbytes}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": _COMPONENTS[rows.dtype],
            "count": len(rows),
            "type": _TYPES[rows.shape[1]],
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            accessor |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        self.views.append(view)
        self.accessors.append(accessor)
        self.data += rows.tobytes()
        self.data += bytes(-len(self.data) % 4)
        return len(self.accessors) - 1


def glb(document: dict[str, Any], buffer: Buffer) -> bytes:
    """The bytes of a .glb file.

    Args:
        document: the JSON without buffers, buffer views and accessors.
        buffer: the arrays.
    """
    complete = {
        **document,
        "buffers": [{"byteLength": len(buffer.data)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(complete, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = [(_JSON, text), (_BIN, bytes(buffer.data))]
    total = 12 + sum(8 + len(data) for _, data in chunks)
    parts = [_MAGIC + struct.pack("<II", _VERSION, total)]
    for kind, data in chunks:
        parts += [struct.pack("<I", len(data)) + kind, data]
    return b"".join(parts)
