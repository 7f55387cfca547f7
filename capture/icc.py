"""ICC profiles of photos: colors of a matrix profile (Display P3, Adobe RGB) to sRGB.

Profiles with tables, such as those of printers, and gray ones are not read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from capture.video.colors import light_to_srgb

#: Linear light of the profile connection space (CIE XYZ, D50) to BT.709 (ICC's sRGB profile, adapted by Bradford).
_XYZ_TO_BT709 = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
_LARGEST = 4 << 20  # bytes of a profile
_ICC_JPEG = b"ICC_PROFILE\0"
_ICC_TIFF = 34675
#: Markers of JPEG segments with the size and the components of the image.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Number of parameters of ICC's parametric curves, by their type.
_PARAMETERS = (1, 3, 4, 5, 7)
#: Colors of which none changes by more levels than this are left as they are: the profile is that of sRGB.
_SAME = 1


@dataclass(frozen=True)
class MatrixProfile:
    """A profile of three curves and a matrix."""

    curves: np.ndarray  # [3,256] linear light of the codes of red, green, blue
    matrix: np.ndarray  # [3,3] linear light to that of BT.709

    @staticmethod
    def parse(data: bytes) -> MatrixProfile | None:
        """Read a profile; None for one of another kind, or a damaged one."""
        try:
            if data[36:40] != b"acsp" or data[16:24] != b"RGB XYZ ":
                return None
            (count,) = struct.unpack_from(">I", data, 128)
            entries = [struct.unpack_from(">4sII", data, 132 + 12 * each) for each in range(min(count, 200))]
            tags = {kind: data[start : start + size] for kind, start, size in entries}
            columns = [struct.unpack_from(">iii", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
            with np.errstate(all="ignore"):
                curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        except (struct.error, KeyError, IndexError, ValueError, ArithmeticError):
            return None
        matrix = _XYZ_TO_BT709 @ (np.array(columns) / 65536).T
        found = np.stack(curves)
        return MatrixProfile(found.astype(np.float32), matrix.astype(np.float32)) if np.isfinite(found).all() else None

    def to_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """Codes [H,W,3] uint8 of this profile as sRGB uint8; the same array where the profile is that of sRGB."""
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
        if np.abs(self._converted(grid).astype(int) - grid).max() <= _SAME:
            return rgb
        return self._converted(rgb)

    def _converted(self, rgb: np.ndarray) -> np.ndarray:
        light = [curve[rgb[..., channel]] for channel, curve in enumerate(self.curves)]
        return light_to_srgb(np.stack(light, axis=-1), self.matrix)


def profile_of(data: bytes) -> bytes | None:
    """The ICC profile in a JPEG, PNG, WebP or TIFF file, if there is one."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _of_jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _of_png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return next((content for kind, content in _chunks(data, 12, "<", 0) if kind == b"ICCP"), None)
        return _of_tiff(data) if data[:4] in (b"II*\0", b"MM\0*") else None
    except (struct.error, IndexError, ValueError, zlib.error):
        return None


def jpeg_components(data: bytes) -> int:
    """The number of color components of a JPEG file: 1, 3, or 4 of CMYK; 0 where that is not known."""
    try:
        return next((content[5] for kind, content in _segments(data) if kind in _FRAMES), 0)
    except (struct.error, IndexError):
        return 0


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents of a JPEG file up to its image."""
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # padding
            at += 1
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        yield data[at + 1], data[at + 4 : at + 2 + size]
        at += 2 + size


def _of_jpeg(data: bytes) -> bytes | None:
    """A profile is in one or more segments, which are numbered."""
    start = len(_ICC_JPEG)
    parts = [content for kind, content in _segments(data) if kind == 0xE2 and content.startswith(_ICC_JPEG)]
    return b"".join(part[start + 2 :] for part in sorted(parts, key=lambda part: part[start])) or None


def _of_png(data: bytes) -> bytes | None:
    for kind, content in _chunks(data, 8, ">", 4):
        if kind == b"iCCP":
            packed = content[content.index(b"\0") + 2 :]
            return zlib.decompressobj().decompress(packed, _LARGEST)
        if kind == b"IDAT":
            break
    return None


def _chunks(data: bytes, at: int, order: str, checksum: int) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the chunks of a PNG file, or of a WebP file, where they are padded to even sizes."""
    while at + 8 <= len(data):
        if order == ">":
            size, kind = struct.unpack_from(">I4s", data, at)
        else:
            kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + (checksum or size % 2)


def _of_tiff(data: bytes) -> bytes | None:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    for each in range(count):
        tag, _, size, place = struct.unpack_from(order + "HHII", data, start + 2 + 12 * each)
        if tag == _ICC_TIFF:
            return data[place : place + size]
    return None


def _curve(tag: bytes) -> np.ndarray:
    """Linear light [256] of the codes by a curve of a profile."""
    code = np.linspace(0, 1, 256)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return code
        values = np.array(struct.unpack_from(f">{count}H", tag, 12))
        return code ** (values[0] / 256) if count == 1 else np.interp(code, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError
    (kind,) = struct.unpack_from(">H", tag, 8)
    numbers = [1.0, 1.0, *[0.0] * 5]  # where a type leaves them out
    numbers[: _PARAMETERS[kind]] = [each / 65536 for each in struct.unpack_from(f">{_PARAMETERS[kind]}i", tag, 12)]
    gamma, a, b, c, d, e, f = numbers
    if kind in (1, 2):  # linear light is c below -b/a
        return np.where(code >= -b / a, np.clip(a * code + b, 0, None) ** gamma + c * (kind == 2), c * (kind == 2))
    return np.where(code >= d, np.clip(a * code + b, 0, None) ** gamma + e, c * code + f)
