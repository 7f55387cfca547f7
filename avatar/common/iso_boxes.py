"""Boxes of ISO base media files (MP4, MOV, HEIF), found without reading what is in them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_MOST_BOXES = 100_000


def top_boxes(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and size in bytes of the boxes on the top level; the last one may end beyond the file."""
    end = stream.seek(0, 2)
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        stream.seek(at)
        size, kind = struct.unpack(">I4s", stream.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", stream.read(8).rjust(8, b"\0"))
        yield kind, at, size or end - at
        if size < 8:
            return
        at += size


def has_box(stream: BinaryIO, kind: bytes) -> bool:
    """Whether a box of `kind` is on the top level."""
    return any(found == kind for found, _, _ in top_boxes(stream))
