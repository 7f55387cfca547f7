"""Photos, animations and videos known by their content, whatever their names say."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avatar.common.photo_files import RAW, ImageFormat, are_photos, image_format, no_video

IMAGE = np.zeros((16, 16, 3), np.uint8)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, IMAGE)[1].tobytes()


def gif(path: Path, count: int) -> bytes:
    with av.open(str(path), "w", format="gif") as container:
        stream = container.add_stream("gif", rate=10, width=16, height=16, pix_fmt="rgb8")
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(IMAGE + 80 * number, "rgb24").reformat(format="rgb8")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def webp(frames: int) -> bytes:
    """An extended WebP file, its frames empty."""
    chunks = b"VP8X" + bytes([10, 0, 0, 0, 2]) + bytes(9) + b"ANIM" + bytes([6, 0, 0, 0]) + bytes(6)
    chunks += (b"ANMF" + bytes([3, 0, 0, 0]) + bytes(4)) * frames
    return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks


def png(frames: int) -> bytes:
    """A PNG file that states a number of frames."""
    return (
        encoded(".png")[:33] + struct.pack(">I", 8) + b"acTL" + struct.pack(">III", frames, 0, 0) + encoded(".png")[33:]
    )


def boxes(*brands: bytes, movie: bool = False) -> bytes:
    kind = brands[0] + bytes(4) + b"".join(brands[1:])
    return (
        (8 + len(kind)).to_bytes(4, "big") + b"ftyp" + kind + b"\0\0\0\x08free" + (b"\0\0\0\x08moov" if movie else b"")
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(".jpg"), ImageFormat("JPEG")),
        (encoded(".png"), ImageFormat("PNG")),
        (png(1), ImageFormat("PNG")),
        (png(3), ImageFormat("PNG", animated=True)),
        (encoded(".webp"), ImageFormat("WebP")),
        (encoded(".tiff"), ImageFormat("TIFF")),
        (encoded(".bmp"), ImageFormat("BMP")),
        (webp(1), ImageFormat("WebP")),
        (webp(3), ImageFormat("WebP", animated=True)),
        (boxes(b"heic", b"mif1", b"heic"), ImageFormat("HEIC")),
        (boxes(b"heix", b"mif1"), ImageFormat("HEIC")),
        (boxes(b"mif1", b"MiHB", b"heic"), ImageFormat("HEIC")),
        (boxes(b"mif1", b"avif", b"miaf"), ImageFormat("AVIF")),
        (boxes(b"avif", b"mif1", b"miaf"), ImageFormat("AVIF")),
        (boxes(b"heic", b"mif1", b"msf1", movie=True), ImageFormat("HEIC")),  # a photo with a sequence beside it
        (boxes(b"avis", b"avif", b"msf1", movie=True), ImageFormat("AVIF", animated=True)),
        (boxes(b"hevc", b"msf1", movie=True), ImageFormat("HEIC", animated=True)),
        (b"\0\0\0\x0cJXL \r\n\x87\n", ImageFormat("JPEG XL")),
        (b"8BPS\0\1", ImageFormat("Photoshop")),
        (b"II*\0\x10\0\0\0CR\2\0", ImageFormat(RAW)),
        (b"IIRO\x08\0\0\0", ImageFormat(RAW)),
        (boxes(b"crx ", b"crx ", b"isom", movie=True), ImageFormat(RAW)),
        (boxes(b"qt  ", b"qt  ", movie=True), None),
        (boxes(b"isom", b"iso2", b"mp41", movie=True), None),
        (boxes(b"mp42", b"mif1", movie=True), None),
        (b"GIF89a", None),
        (b"", None),
        (b"BMx of text", None),
    ],
)
def test_the_content_decides_under_any_name(tmp_path: Path, content: bytes, expected: ImageFormat | None) -> None:
    for name in ("a.heic", "a.jpg", "a.mp4", "a"):
        path = tmp_path / name
        path.write_bytes(content)
        assert image_format(path) == expected
        known = path.suffix in (".heic", ".jpg") if expected is None else not expected.animated
        assert are_photos([path]) == known


def test_gif_files_are_photos_or_videos(tmp_path: Path) -> None:
    still, film = tmp_path / "a.gif", tmp_path / "b.gif"
    still.write_bytes(gif(tmp_path / "c.gif", 1))
    film.write_bytes(gif(tmp_path / "c.gif", 3))
    assert image_format(still) == ImageFormat("GIF") and are_photos([still])
    assert image_format(film) == ImageFormat("GIF", animated=True) and not are_photos([still, film])
    assert no_video(film) is None
    assert no_video(still) == "a photo (GIF), which shows no motion; give a video"


def test_animations_that_are_no_videos_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(webp(3))
    assert no_video(tmp_path / "a.webp") == (
        "an animated WebP file, which is not read; convert it to MP4, or save one image of it as JPEG"
    )


def test_names_decide_where_there_is_no_file(tmp_path: Path) -> None:
    assert are_photos([tmp_path / "a.HEIC", tmp_path / "b.avif"])
    assert not are_photos([tmp_path / "a.mov"]) and not are_photos([])
    assert image_format(tmp_path) is None
