"""The size that an image file declares in its header, read without decoding the image."""

from __future__ import annotations

import struct

#: Markers of JPEG segments without a length, and of those with the size of the image (start of frame).
_BARE = {0x01, *range(0xD0, 0xD8)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_WIDTH = 256
_TIFF_HEIGHT = 257
#: TIFF's types of whole numbers, as formats of struct.
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels that an image file declares.

    Args:
        data: the content of the file.

    Returns:
        None if it is not the beginning of a PNG, JPEG, WebP, TIFF or BMP file. Only the header is looked at: the rest
        of the file may be damaged.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _pair(struct.unpack_from(">II", data, 16))
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(data)
        return _bmp(data) if data.startswith(b"BM") else None
    except (struct.error, IndexError):  # cut short
        return None


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:  # padding, or a segment without content
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    at = 20
    if kind == b"VP8X":
        width = int.from_bytes(data[at + 4 : at + 4 + 3], "little") + 1
        height = int.from_bytes(data[at + 7 : at + 7 + 3], "little") + 1
        return width, height
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, at + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, at + 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset, counter, entry, value_at = ("Q", "Q", 20, 12) if big else ("I", "H", 12, 8)
    (start,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + counter, data, start)
    start += struct.calcsize(counter)
    sizes: dict[int, int] = {}
    for at in range(start, start + min(count, 1000) * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_TYPES:
            (value,) = struct.unpack_from(order + _TIFF_TYPES[kind], data, at + value_at)
            sizes[tag] = max(value, sizes.get(tag, 0))
    return (sizes[_TIFF_WIDTH], sizes[_TIFF_HEIGHT]) if len(sizes) == 2 else None


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)
