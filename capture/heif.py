"""Photos in HEIF files: HEIC, which iPhones write, and AVIF; single images and grids of tiles.

The container (ISO/IEC 23008-12) is read here, and FFmpeg's decoders of HEVC and AV1 read the images. Where these are
missing, and for rare kinds of content, pillow-heif does if it is installed.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avatar.common.files import error_words
from avatar.common.image_io import MAX_PIXELS, check_pixels
from avatar.errors import HeadsplatError
from capture.icc import MatrixProfile
from capture.video.colors import ColorTags, frame_to_srgb, is_known

_MAX_BYTES = 512 << 20
#: FFmpeg's decoders by the type of an item, and the property with the decoder's parameters.
_DECODERS = {b"hvc1": (("hevc",), b"hvcC"), b"av01": (("libdav1d", "av1"), b"av1C")}
_USUAL = ColorTags(matrix=6)  # the matrix of an image that states none: BT.601
_PROFILES = (b"prof", b"rICC")
_LIMITED_RANGE = 1  # of FFmpeg
_FULL_RANGE = 2
_DEEPEST = 3  # images made of images
#: Items and boxes in a file at most.
_MOST = 70_000


class _UnreadError(Exception):
    """The image cannot be decoded here; the reason."""


@dataclass
class _Item:
    """An item of the file: an image, a tile, or metadata."""

    kind: bytes = b""
    extents: list[tuple[int, int, int]] = field(default_factory=list)  # construction method, offset, length
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)  # kind and content, in their order
    parts: list[int] = field(default_factory=list)  # items that it is made of
    describes: list[int] = field(default_factory=list)

    def all(self, kind: bytes) -> list[bytes]:
        """The contents of its properties of this kind."""
        return [content for each, content in self.properties if each == kind]

    def first(self, kind: bytes) -> bytes | None:
        """The content of its first property of this kind."""
        return next(iter(self.all(kind)), None)


@dataclass
class HeifFile:
    """The items of a HEIF file."""

    data: bytes
    primary: int = 0
    items: dict[int, _Item] = field(default_factory=dict)
    idat: bytes = b""

    @staticmethod
    def parse(data: bytes) -> HeifFile:
        """Read the items of a file.

        Raises:
            ValueError: the file is damaged.
        """
        file = HeifFile(data)
        try:
            meta = next((content for kind, content in _boxes(data) if kind == b"meta"), None)
            if meta is None:
                raise ValueError("it contains no image")
            file._read_meta(dict(_boxes(meta[4:])))
        except (struct.error, IndexError) as error:
            raise ValueError("it is damaged") from error
        if file.primary not in file.items:
            raise ValueError("it contains no image")
        return file

    def content(self, item: _Item) -> bytes:
        """The bytes of an item."""
        if sum(length for _, _, length in item.extents) > len(self.data):
            raise ValueError("it is damaged")
        parts = []
        for method, offset, length in item.extents:
            source = self.data if method == 0 else self.idat
            end = offset + length if length else len(source)
            if method > 1 or end > len(source):
                raise ValueError("it is cut off")
            parts.append(source[offset:end])
        return b"".join(parts)

    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels that the file states for its image, before it is turned."""
        stated = self.items[self.primary].first(b"ispe")
        return None if stated is None or len(stated) < 12 else struct.unpack_from(">II", stated, 4)

    def exif(self) -> bytes | None:
        """The EXIF data of the image, from its TIFF header on."""
        for item in self.items.values():
            if item.kind == b"Exif" and (self.primary in item.describes or not item.describes):
                try:
                    content = self.content(item)
                    (skipped,) = struct.unpack_from(">I", content)
                except (ValueError, struct.error):
                    return None
                return content[4 + skipped :]
        return None

    def _read_meta(self, boxes: dict[bytes, bytes]) -> None:
        self.idat = boxes.get(b"idat", b"")
        _read_infos(boxes.get(b"iinf", b""), self.items)
        _read_locations(boxes.get(b"iloc", b""), self.items)
        if b"iref" in boxes:
            _read_references(boxes[b"iref"], self.items)
        if b"iprp" in boxes:
            _read_properties(list(_boxes(boxes[b"iprp"])), self.items)
        if b"pitm" in boxes:
            box = boxes[b"pitm"]
            (self.primary,) = struct.unpack_from(">I" if box[0] else ">H", box, 4)


def read_heif(path: Path) -> np.ndarray:
    """The image of a HEIC or AVIF file [H,W,3] uint8 sRGB, upright.

    Raises:
        HeadsplatError: it is too large or damaged, or nothing that is installed can decode it.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise HeadsplatError(f"{path}: more than {_MAX_BYTES >> 20} MB, which is no photo; give a JPEG of it")
    data = path.read_bytes()
    damaged = False
    try:
        file = HeifFile.parse(data)
        check_pixels(path, file.size() or (0, 0))
        return _Decoding(file).image(file.primary)
    except (ValueError, struct.error, IndexError) as error:
        reason = str(error) if type(error) is ValueError else "it is damaged"
        damaged = True
    except _UnreadError as error:
        reason = str(error)
    except (av.error.FFmpegError, OSError) as error:
        reason = error_words(error)
    image = _by_pillow_heif(data)
    if image is None and damaged:
        raise HeadsplatError(f"{path}: a damaged HEIC or AVIF photo ({reason}); copy it again, or give a JPEG of it")
    if image is None:
        raise HeadsplatError(
            f"{path}: a HEIC or AVIF photo that cannot be decoded here ({reason}); export it as JPEG, or convert it "
            "with `heif-convert`, or `pip install pillow-heif`"
        )
    return image


def heif_exif(path: Path) -> bytes | None:
    """The EXIF data of a HEIC or AVIF file from its TIFF header on, if it has any."""
    try:
        return HeifFile.parse(path.read_bytes()).exif()
    except (OSError, ValueError):
        return None


def _by_pillow_heif(data: bytes) -> np.ndarray | None:
    """The image [H,W,3] uint8 as pillow-heif decodes it; None if it is not installed or cannot."""
    try:
        library: Any = importlib.import_module("pillow_heif")
        image = np.asarray(library.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True))
    except Exception:  # an optional library: whatever it raises, the image is not read
        return None
    if image.ndim != 3 or image.shape[2] < 3 or image.dtype != np.uint8:
        return None
    return np.ascontiguousarray(image[..., :3])


@dataclass
class _Decoding:
    """Decodes images of a file."""

    file: HeifFile
    reformatter: VideoReformatter = field(default_factory=VideoReformatter)

    def image(self, number: int, depth: int = 0) -> np.ndarray:
        """Item `number` [H,W,3] uint8 sRGB, with its transformations."""
        item = self.file.items.get(number)
        if item is None or depth > _DEEPEST:
            raise ValueError("it is damaged")
        if item.kind in _DECODERS:
            rgb = self._decoded(item, item)
        elif item.kind == b"grid":
            rgb = self._grid(item)
        elif item.kind in (b"iden", b"tmap") and item.parts:  # as it is; with a map for brighter screens
            rgb = self.image(item.parts[0], depth + 1)
        else:
            raise _UnreadError(f"its content is of kind {item.kind.decode('ascii', 'replace')!r}")
        for kind, content in item.properties:
            rgb = _transformed(rgb, kind, content)
        return np.ascontiguousarray(rgb)

    def _grid(self, item: _Item) -> np.ndarray:
        """The image that is made of tiles of one size, cut to the size it states."""
        layout = self.file.content(item)
        rows, columns = layout[2] + 1, layout[3] + 1
        width, height = struct.unpack_from(">II" if layout[1] & 1 else ">HH", layout, 4)
        if len(item.parts) != rows * columns or not 0 < width * height <= MAX_PIXELS:
            raise ValueError("its tiles do not fit together")
        image: np.ndarray | None = None
        for place, number in enumerate(item.parts):
            part = self.file.items.get(number)
            if part is None or part.kind not in _DECODERS:
                raise ValueError("it is damaged")
            tile = self._decoded(part, item)
            if image is None:
                high, wide = tile.shape[:2]
                if not ((rows - 1) * high < height <= rows * high and (columns - 1) * wide < width <= columns * wide):
                    raise ValueError("its tiles do not fit together")
                image = np.zeros((rows * high, columns * wide, 3), np.uint8)
            if tile.shape != (high, wide, 3):
                raise ValueError("its tiles do not fit together")
            top, left = place // columns * high, place % columns * wide
            image[top : top + high, left : left + wide] = tile
        assert image is not None
        return image[:height, :width]

    def _decoded(self, item: _Item, whole: _Item) -> np.ndarray:
        """A coded item [H,W,3] uint8 sRGB without its transformations; `whole` is the image it is part of."""
        names, parameters = _DECODERS[item.kind]
        available = [name for name in names if name in av.codecs_available]
        if not available:
            raise _UnreadError(f"this FFmpeg has no decoder of {'HEVC' if item.kind == b'hvc1' else 'AV1'}")
        decoder: Any = av.CodecContext.create(available[0], "r")
        decoder.options = {"max_pixels": str(MAX_PIXELS)}
        decoder.thread_count = 1  # threads that report damage can wait forever for a decoder that is being freed
        decoder.extradata = item.first(parameters)
        frames = [*decoder.decode(av.Packet(self.file.content(item))), *decoder.decode(None)]
        if not frames:
            raise ValueError("it is damaged")
        return self._converted(frames[0], item.all(b"colr") or whole.all(b"colr"))

    def _converted(self, frame: Any, stated: list[bytes]) -> np.ndarray:
        """A decoded frame [H,W,3] uint8 sRGB; `stated` are the properties of its colors."""
        profile = None
        for each in stated:
            if each[:4] == b"nclx":
                primaries, transfer, matrix, full = struct.unpack_from(">HHHB", each, 4)
                frame.color_primaries = primaries
                frame.color_trc = transfer
                frame.colorspace = matrix
                frame.color_range = _FULL_RANGE if full & 0x80 else _LIMITED_RANGE
            elif each[:4] in _PROFILES:
                profile = MatrixProfile.parse(each[4:])
        tags = ColorTags.of(frame).or_else(_USUAL)
        if not is_known(tags.matrix):
            raise _UnreadError("its colors are stored as YCgCo or ICtCp")
        if profile is None or tags.hdr:
            return frame_to_srgb(frame, tags, self.reformatter)
        return profile.to_srgb(frame_to_srgb(frame, replace(tags, primaries=0), self.reformatter))


def _transformed(rgb: np.ndarray, kind: bytes, content: bytes) -> np.ndarray:
    """An image after one property: turned, mirrored, cut, or as it is."""
    if kind == b"irot":
        return np.rot90(rgb, content[0] & 3)
    if kind == b"imir":
        return rgb[:, ::-1] if content[0] & 1 else rgb[::-1]
    if kind == b"clap":
        return _cut(rgb, content)
    return rgb


def _cut(rgb: np.ndarray, content: bytes) -> np.ndarray:
    """The clean aperture of an image; all of it where that makes no sense."""
    *sizes, x, x_parts, y, y_parts = struct.unpack_from(">IIIIiIiI", content)
    if not (sizes[1] and sizes[3] and x_parts and y_parts):
        return rgb
    width, height = sizes[0] // sizes[1], sizes[2] // sizes[3]
    left = round((rgb.shape[1] - width) / 2 + x / x_parts)
    top = round((rgb.shape[0] - height) / 2 + y / y_parts)
    inside = left >= 0 and top >= 0 and left + width <= rgb.shape[1] and top + height <= rgb.shape[0]
    return rgb[top : top + height, left : left + width] if inside and width and height else rgb


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the boxes in `data`."""
    at = 0
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        end = at + size if size else len(data)
        if end < at + header:
            return
        yield kind, data[at + header : end]
        at = end


class _Fields:
    """Numbers of a box, one after another."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def number(self, size: int) -> int:
        """The next number of `size` bytes."""
        if self.at + size > len(self.data):
            raise IndexError
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def _read_infos(box: bytes, items: dict[int, _Item]) -> None:
    """Numbers and kinds of the items."""
    for kind, entry in _boxes(box[8 if box and box[0] else 6 :]):
        if kind == b"infe" and entry[0] >= 2:
            wide = 4 if entry[0] == 3 else 2
            number = int.from_bytes(entry[4 : 4 + wide], "big")
            items[number] = _Item(entry[6 + wide : 10 + wide])


def _read_locations(box: bytes, items: dict[int, _Item]) -> None:
    """Where the bytes of the items are."""
    fields = _Fields(box, 4)
    version = box[0] if box else 0
    sizes = fields.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    for _ in range(fields.number(4 if version == 2 else 2)):
        item = items.get(fields.number(4 if version == 2 else 2), _Item())
        method = fields.number(2) & 15 if version else 0
        fields.number(2)  # which file; there is one
        base = fields.number(base_size)
        for _ in range(fields.number(2)):
            fields.number(index_size)
            offset = base + fields.number(offset_size)
            item.extents.append((method, offset, fields.number(length_size)))


def _read_references(box: bytes, items: dict[int, _Item]) -> None:
    """Which items others are made of or describe."""
    wide = 4 if box[0] else 2
    for kind, content in _boxes(box[4:]):
        fields = _Fields(content, 0)
        item = items.get(fields.number(wide), _Item())
        numbers = [fields.number(wide) for _ in range(fields.number(2))]
        if kind == b"dimg":
            item.parts += numbers
        elif kind == b"cdsc":
            item.describes += numbers


def _read_properties(boxes: list[tuple[bytes, bytes]], items: dict[int, _Item]) -> None:
    """The properties of the items, in their order."""
    container = next((content for kind, content in boxes if kind == b"ipco"), b"")
    properties = [(kind, content) for kind, content in _boxes(container)]
    for kind, content in boxes:
        if kind != b"ipma":
            continue
        fields = _Fields(content, 4)
        wide = 2 if content[3] & 1 else 1
        for _ in range(fields.number(4)):
            item = items.get(fields.number(4 if content[0] else 2), _Item())
            for _ in range(fields.number(1)):
                index = fields.number(wide) & (0x7FFF if wide == 2 else 0x7F)
                if 0 < index <= len(properties):
                    item.properties.append(properties[index - 1])
