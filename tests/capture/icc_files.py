"""ICC profiles, and photos that contain one, made byte by byte."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

#: Primaries of profiles as XYZ of D50: red, green, blue.
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
Primaries = tuple[tuple[float, float, float], ...]


def _fixed(values: tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


#: Curves: that of sRGB as parameters, a power, and that of sRGB as a table.
SRGB_CURVE = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
ADOBE_CURVE = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * 563 / 256)) + b"\0\0"


def table_curve(points: int = 1024) -> bytes:
    code = np.linspace(0, 1, points)
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", points) + np.rint(65535 * light).astype(">u2").tobytes()


def profile(primaries: Primaries, curve: bytes, space: bytes = b"RGB ") -> bytes:
    """A profile of three curves and a matrix."""
    colors = [
        (name, b"XYZ \0\0\0\0" + _fixed(value)) for name, value in zip((b"r", b"g", b"b"), primaries, strict=True)
    ]
    tags = [(name + b"XYZ", value) for name, value in colors] + [(name + b"TRC", curve) for name, _ in colors]
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = (
        struct.pack(">I", 132 + 12 * len(tags) + len(body)) + bytes(8) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    )
    return head.ljust(128, b"\0") + table + body


def jpeg_with(rgb: np.ndarray, icc: bytes) -> bytes:
    """A JPEG file with a profile in two segments, the second one first."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    content = cv2.imencode(".jpg", rgb[..., ::-1], options)[1].tobytes()
    segments = b""
    for number, part in ((2, icc[200:]), (1, icc[:200])):
        body = b"ICC_PROFILE\0" + bytes([number, 2]) + part
        segments += b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body
    return content[:2] + segments + content[2:]


def png_with(rgb: np.ndarray, icc: bytes) -> bytes:
    content = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    body = b"iCCPname\0\0" + zlib.compress(icc)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + chunk + content[33:]


def webp_with(rgb: np.ndarray, icc: bytes) -> bytes:
    content = cv2.imencode(".webp", rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    image = content[content.index(b"VP8L") :]
    sides = [(side - 1).to_bytes(3, "little") for side in rgb.shape[1::-1]]
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x20\0\0\0" + b"".join(sides)
    chunks += b"ICCP" + struct.pack("<I", len(icc)) + icc + bytes(len(icc) % 2) + image
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def tiff_with(rgb: np.ndarray, icc: bytes, *more: int) -> bytes:
    """An uncompressed TIFF file; `more` are further tags, each with the value 1."""
    height, width = rgb.shape[:2]
    pixels = rgb.tobytes()
    start = 8 + 2 + 12 * (9 + len(more)) + 4
    depths = start + len(pixels) + len(icc)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, depths),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, start),
        (277, 3, 1, 3),
        (279, 4, 1, len(pixels)),
        (34675, 7, len(icc), start + len(pixels)),
        *((tag, 4, 1, 1) for tag in more),
    ]
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    return head + pixels + icc + struct.pack("<HHH", 8, 8, 8)
