"""A small file that declares a huge image or a huge array is refused with one sentence before anything is decoded."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.common.image_io import MAX_PIXELS, read_image
from avatar.common.image_size import declared_size
from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, TRACK_FILE, Capture, frame_name
from avatar.errors import HeadsplatError
from avatar.rendering.background import parse_background
from capture.layouts import read_layout
from capture.layouts.views import read_images, read_mask
from capture.layouts.write import write_layout

SIDE = 60_000
SENTENCE = r"an image of \d+x\d+ pixels, 100 million is the most that is read; make it smaller"


def png(width: int, height: int) -> bytes:
    """A PNG file with a valid header, the size and four bytes of content."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


def jpeg() -> bytes:
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def bmp() -> bytes:
    data = bytearray(encoded(".bmp"))
    data[18:26] = struct.pack("<ii", SIDE, -SIDE)
    return bytes(data)


def tiff() -> bytes:
    entries = [struct.pack("<HHII", tag, 4, 1, SIDE) for tag in (256, 257)]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def webp() -> bytes:
    canvas = (16_383 - 1).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas


BOMBS: dict[str, Callable[[], bytes]] = {
    ".png": lambda: png(SIDE, SIDE), ".jpg": jpeg, ".bmp": bmp, ".tiff": tiff, ".webp": webp,
}  # fmt: skip


@pytest.mark.parametrize("suffix", BOMBS)
@pytest.mark.parametrize("mode", [cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED])
def test_a_huge_image_is_refused_by_its_header(tmp_path: Path, suffix: str, mode: int) -> None:
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(BOMBS[suffix]())
    with pytest.raises(HeadsplatError, match=f"bomb{suffix}: {SENTENCE}"):
        read_image(path, mode)


@pytest.mark.parametrize("suffix", BOMBS)
def test_every_image_of_an_allowed_size_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encoded(suffix))
    assert declared_size(path.read_bytes()) == (64, 48)
    image = read_image(path, cv2.IMREAD_COLOR)
    assert image is not None and image.shape == (48, 64, 3)
    for cut in range(60):
        declared_size(path.read_bytes()[:cut])


def test_the_limit_is_one_of_pixels(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5)
    path = tmp_path / "image.png"
    path.write_bytes(png(side + 1, side))
    with pytest.raises(HeadsplatError, match=SENTENCE):
        read_image(path, cv2.IMREAD_COLOR)
    path.write_bytes(png(2**31, 2**31))
    with pytest.raises(HeadsplatError, match=SENTENCE):
        read_image(path, cv2.IMREAD_COLOR)
    path.write_bytes(png(0, 10))
    assert read_image(path, cv2.IMREAD_COLOR) is None


def test_a_huge_background_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000))
    with pytest.raises(HeadsplatError, match=SENTENCE):
        parse_background(str(tmp_path / "bomb.png"), 64, 64)


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("folder", ["images", "fg_masks"])
def test_a_huge_image_in_a_layout_is_refused(tiny: Capture, tmp_path: Path, folder: str, stated: bool) -> None:
    root = tmp_path / "out"
    write_layout(tiny, "nerf", root)
    (root / folder / "00000_00.png").write_bytes(png(SIDE, SIDE))
    if not stated:
        for path in root.glob("*.json"):
            content = json.loads(path.read_text())
            for entry in (content, *content["frames"]):
                entry.pop("w", None), entry.pop("h", None)
            path.write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match=f"00000_00.png: {SENTENCE}"):
        views = read_layout(root).views
        list(read_images(views))
        [read_mask(view) for view in views]


@pytest.mark.parametrize("folder", [FRAMES_DIR, MATTES_DIR])
def test_a_huge_image_in_a_capture_is_refused(tiny: Capture, tmp_path: Path, folder: str) -> None:
    root = Path(shutil.copytree(tiny.root, tmp_path / "capture"))
    (root / folder / frame_name(0)).write_bytes(png(SIDE, SIDE))
    with pytest.raises(HeadsplatError, match=f"{frame_name(0)}: {SENTENCE}"):
        Capture.load(root).images([0], 64)


def test_a_track_that_declares_gigabytes_is_refused(tiny: Capture, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny.root, tmp_path / "capture"))
    data = bytearray((root / TRACK_FILE).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0x7FFF_FFFF)  # uncompressed size in the central directory
    (root / TRACK_FILE).write_bytes(data)
    with pytest.raises(HeadsplatError, match=r"the track is damaged or incomplete \(it declares 19 members of 2\d+ MB"):
        Capture.load(root)


def test_an_array_that_declares_more_than_it_has_is_refused(tiny: Capture, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny.root, tmp_path / "capture"))
    data = (root / TRACK_FILE).read_bytes()
    shape = f"({len(tiny)},), }}".encode()
    assert data.count(shape)
    (root / TRACK_FILE).write_bytes(data.replace(shape.ljust(16), b"(99999999999,),}"))
    with pytest.raises(HeadsplatError, match="the track is damaged or incomplete"):
        Capture.load(root)
