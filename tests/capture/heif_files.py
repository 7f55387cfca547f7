"""HEIC and AVIF files made box by box: single images, grids of tiles, turned and mirrored ones, with EXIF data."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest


@dataclass(frozen=True)
class Codec:
    """How the images are coded."""

    encoder: str
    item: bytes
    parameters: bytes
    brand: bytes
    pixels: str = "yuv420p"


HEVC = Codec("libx265", b"hvc1", b"hvcC", b"heic")
HEVC_10 = Codec("libx265", b"hvc1", b"hvcC", b"heix", "yuv420p10le")
AV1 = Codec("libsvtav1", b"av01", b"av1C", b"avif")


def heif_file(
    image: np.ndarray,
    codec: Codec = HEVC,
    tile: int | None = None,
    properties: tuple[bytes, ...] = (),
    exif: bytes | None = None,
    brands: tuple[bytes, ...] | None = None,
) -> bytes:
    """A HEIF file of one image.

    Args:
        image: [H,W,3] uint8 sRGB.
        codec: of the images.
        tile: side of the tiles of a grid, as in files of iPhones; None: one coded image.
        properties: boxes of the image, such as `rotation`.
        exif: from the TIFF header on.
        brands: the major one and compatible ones.
    """
    height, width = image.shape[:2]
    tiles = [image] if tile is None else _tiles(image, tile)
    coded = [_coded(each, codec) for each in tiles]
    shared = [_box(b"ispe", struct.pack(">III", 0, *tiles[0].shape[1::-1])), _box(codec.parameters, coded[0][0])]
    own = [_box(b"ispe", struct.pack(">III", 0, width, height)), *properties]
    contents = [(codec.item, data) for _, data in coded]
    used: list[list[int]] = [[1, 2] for _ in coded]
    primary = 1
    references = b""
    if tile is None:
        used[0] += range(4, 3 + len(own))
    else:
        rows, columns = -(-height // tile), -(-width // tile)
        contents.append((b"grid", struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)))
        used.append([*range(3, 3 + len(own))])
        primary = len(contents)
        numbers = struct.pack(f">HH{len(tiles)}H", primary, len(tiles), *range(1, 1 + len(tiles)))
        references += _box(b"dimg", numbers)
    if exif is not None:
        contents.append((b"Exif", struct.pack(">I", 6) + b"Exif\0\0" + exif))
        used.append([])
        references += _box(b"cdsc", struct.pack(">HHH", len(contents), 1, primary))
    return _file(contents, [*shared, *own], used, primary, references, brands or (codec.brand, b"mif1", codec.brand))


def rotation(quarters: int) -> bytes:
    """A property: turned counter-clockwise by quarters."""
    return _box(b"irot", bytes([quarters]))


def colors(primaries: int, transfer: int, matrix: int, full: bool) -> bytes:
    """A property: how the image's numbers are colors (ITU-T H.273)."""
    return _box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full << 7))


def profile(icc: bytes) -> bytes:
    """A property: an ICC profile."""
    return _box(b"colr", b"prof" + icc)


def mirrored(axis: int) -> bytes:
    """A property: 0 exchanges top and bottom, 1 left and right."""
    return _box(b"imir", bytes([axis]))


def aperture(width: int, height: int) -> bytes:
    """A property: the middle of the image, of this size."""
    return _box(b"clap", struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1))


def _file(
    contents: list[tuple[bytes, bytes]],
    properties: list[bytes],
    used: list[list[int]],
    primary: int,
    references: bytes,
    brands: tuple[bytes, ...],
) -> bytes:
    count = len(contents)
    kind = _box(b"ftyp", brands[0] + bytes(4) + b"".join(brands[1:]))
    infos = [
        _box(b"infe", struct.pack(">IHH", 2 << 24, number + 1, 0) + each + b"\0")
        for number, (each, _) in enumerate(contents)
    ]
    rows = [struct.pack(f">HB{len(row)}B", number + 1, len(row), *row) for number, row in enumerate(used)]

    def described(start: int) -> bytes:
        places = []
        for number, (_, data) in enumerate(contents):
            places.append(struct.pack(">HHHII", number + 1, 0, 1, start, len(data)))
            start += len(data)
        boxes = [
            _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            _box(b"pitm", struct.pack(">IH", 0, primary)),
            _box(b"iinf", struct.pack(">IH", 0, count) + b"".join(infos)),
            _box(b"iloc", struct.pack(">IHH", 0, 0x4400, count) + b"".join(places)),
            _box(b"iref", bytes(4) + references) if references else b"",
            _box(
                b"iprp",
                _box(b"ipco", b"".join(properties)) + _box(b"ipma", struct.pack(">II", 0, count) + b"".join(rows)),
            ),
        ]
        return kind + _box(b"meta", bytes(4) + b"".join(boxes))

    start = len(described(0)) + 8
    return described(start) + _box(b"mdat", b"".join(data for _, data in contents))


def _tiles(image: np.ndarray, side: int) -> list[np.ndarray]:
    """Tiles row by row; beyond the edges of the image they are repeated."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    corners = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    return [padded[top : top + side, left : left + side] for top, left in corners]


def _coded(image: np.ndarray, codec: Codec) -> tuple[bytes, bytes]:
    """The decoder's parameters and the bytes of a image."""
    if codec.encoder not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec.encoder}")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(format=codec.pixels)
    return _hevc(frame) if codec.encoder == HEVC.encoder else _av1(frame)


def _hevc(frame: av.VideoFrame) -> tuple[bytes, bytes]:
    encoder: Any = av.CodecContext.create(HEVC.encoder, "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = frame.format.name
    encoder.time_base = Fraction(1)
    encoder.options = {"crf": "10", "x265-params": "log-level=none:info=0"}
    stream = b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))
    units = [unit for unit in re.split(b"\0\0\0?\1", stream) if unit]
    sets = [unit for unit in units if 32 <= unit[0] >> 1 <= 34]
    profile = next(unit for unit in sets if unit[0] >> 1 == 33)[3:15]
    arrays = b"".join(struct.pack(">BHH", 0x80 | unit[0] >> 1, 1, len(unit)) + unit for unit in sets)
    head = b"\1" + profile + bytes.fromhex("f000fcfdf8f800000f") + bytes([len(sets)])
    slices = (unit for unit in units if unit[0] >> 1 < 32)
    return head + arrays, b"".join(struct.pack(">I", len(unit)) + unit for unit in slices)


def _av1(frame: av.VideoFrame) -> tuple[bytes, bytes]:
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream: Any = container.add_stream(AV1.encoder, rate=1, options={"crf": "10", "preset": "10"})
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt = "yuv420p"
        container.mux([*stream.encode(frame), *stream.encode(None)])
    data = memory.getvalue()
    return _content(data, AV1.parameters), _content(data, b"mdat")


def _content(data: bytes, kind: bytes) -> bytes:
    """The content of the first box of `kind`, on any level."""
    at = data.index(kind)
    (size,) = struct.unpack_from(">I", data, at - 4)
    return data[at + 4 : at - 4 + size]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content
