"""What an image file is: a photo or an animation, by its content, and only where that is unknown by its name; films."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avatar.common.iso_boxes import has_box

FILM_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".gif")
#: Brands of files with one image, and with a sequence of them (ISO/IEC 23008-12; AV1 Image File Format).
_STILLS = (b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"MiHB", b"MiHE", b"MiHA")
_SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
#: Compatible brands, and boxes or blocks of a file, that are looked at.
_MOST_BRANDS = 64
_MOST_BOXES = 100_000
#: Raw photos of cameras, and how those begin that are neither TIFF nor MP4 (Fujifilm, Olympus, Panasonic).
RAW = "camera raw"
_RAWS = (b"FUJIFILMCCD-RAW", b"IIRO", b"MMOR", b"IIU\0")
#: Tags of TIFF: the maker of a camera, further images in the file, the version of DNG.
_MAKE = 271
_SUB_IMAGES = 330
_DNG_VERSION = 50706
_MOST_TAGS = 1000
_GIF_EXTENSION = 0x21
_GIF_IMAGE = 0x2C


@dataclass(frozen=True)
class ImageFormat:
    """What an image file contains."""

    name: str
    animated: bool = False  # whether it has several images that follow each other


def image_format(path: Path) -> ImageFormat | None:
    """The format of an image file by its content; None where it is none that is known, a folder, or missing."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            return _format(stream)
    except (OSError, ValueError, struct.error, IndexError):
        return None


def are_photos(paths: Sequence[Path]) -> bool:
    """Whether `paths` are photos by their content or, where that is unknown, by their names, and nothing else."""
    return bool(paths) and all(map(_is_photo, paths))


def is_film(path: Path) -> bool:
    """Whether `path` is a file that is a video by its name."""
    return path.suffix.lower() in FILM_SUFFIXES and path.is_file()


def no_video(path: Path) -> str | None:
    """Why an image file is not read as a video, and what to do, in words that follow its name; None if it may be one.

    GIF animations are videos.
    """
    content = image_format(path)
    if content is None or (content.name == "GIF" and content.animated):
        return None
    if content.animated:
        return f"an animated {content.name} file, which is not read; convert it to MP4, or save one image of it as JPEG"
    return f"a photo ({content.name}), which shows no motion; give a video"


def _is_photo(path: Path) -> bool:
    content = image_format(path)
    return path.suffix.lower() in PHOTO_SUFFIXES if content is None else not content.animated


def _format(stream: BinaryIO) -> ImageFormat | None:
    head = stream.read(32)
    if head.startswith(b"\xff\xd8\xff"):
        return ImageFormat("JPEG")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat("PNG", _animated_png(stream))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ImageFormat("WebP", _animated_webp(stream))
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return ImageFormat("GIF", _animated_gif(stream))
    if head.startswith(_RAWS) or head[4:12] == b"ftypcrx ":
        return ImageFormat(RAW)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return ImageFormat(RAW if head[8:10] == b"CR" or _is_raw_tiff(stream) else "TIFF")
    if head.startswith(b"8BPS"):
        return ImageFormat("Photoshop")
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return ImageFormat("BMP")
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return ImageFormat("JPEG XL")
    return _of_boxes(stream) if head[4:8] == b"ftyp" else None


def _of_boxes(stream: BinaryIO) -> ImageFormat | None:
    """The format of an ISO base media file; None for one that is no image, such as an MP4 video."""
    stream.seek(0)
    size = min(struct.unpack(">I", stream.read(4))[0], 16 + 4 * _MOST_BRANDS)
    content = stream.read(size - 4)
    brands = [content[at : at + 4] for at in (4, *range(12, size - 7, 4))]  # the major one, and compatible ones
    name = "AVIF" if {b"avif", b"avis"} & set(brands) else "HEIC"
    if brands[0] in _SEQUENCES:
        return ImageFormat(name, animated=True)
    if brands[0] in _STILLS or (set(_STILLS) & set(brands) and not has_box(stream, b"moov")):
        return ImageFormat(name)
    return None


def _is_raw_tiff(stream: BinaryIO) -> bool:
    """Whether a TIFF file is a raw photo (DNG, NEF, ARW), whose first image is a small preview."""
    stream.seek(0)
    head = stream.read(8)
    order = "<" if head[:2] == b"II" else ">"
    stream.seek(struct.unpack(order + "I", head[4:])[0])
    (count,) = struct.unpack(order + "H", stream.read(2))
    tags = {struct.unpack(order + "H", stream.read(12)[:2])[0] for _ in range(min(count, _MOST_TAGS))}
    return _DNG_VERSION in tags or {_MAKE, _SUB_IMAGES} <= tags


def _animated_png(stream: BinaryIO) -> bool:
    """Whether a PNG file has two frames of an animation."""
    stream.seek(8)
    for _ in range(_MOST_BOXES):
        size, kind = struct.unpack(">I4s", stream.read(8))
        if kind == b"acTL":
            return bool(struct.unpack(">I", stream.read(4))[0] > 1)
        if kind == b"IDAT":  # an animation says so before its first image
            break
        stream.seek(size + 4, 1)
    return False


def _animated_webp(stream: BinaryIO) -> bool:
    """Whether a WebP file has two frames of an animation."""
    stream.seek(12)
    frames = 0
    for _ in range(_MOST_BOXES):
        header = stream.read(8)
        if len(header) < 8 or frames > 1:
            break
        kind, size = struct.unpack("<4sI", header)
        frames += kind == b"ANMF"
        stream.seek(size + size % 2, 1)
    return frames > 1


def _animated_gif(stream: BinaryIO) -> bool:
    """Whether a GIF file has two images."""
    stream.seek(10)
    _skip_palette(stream, stream.read(3)[0])  # before it the background's color and the aspect
    images = 0
    for _ in range(_MOST_BOXES):
        kind = stream.read(1)
        if not kind or images > 1:
            break
        if kind[0] == _GIF_IMAGE:
            images += 1
            _skip_palette(stream, stream.read(9)[8])
        elif kind[0] != _GIF_EXTENSION:
            break
        stream.seek(1, 1)  # the label of an extension, or the size of the codes
        while (length := stream.read(1)) and length[0]:
            stream.seek(length[0], 1)
    return images > 1


def _skip_palette(stream: BinaryIO, flags: int) -> None:
    """Go past the colors that follow a header of a GIF file with these flags."""
    if flags & 0x80:
        stream.seek(3 * 2 ** (flags % 8 + 1), 1)
