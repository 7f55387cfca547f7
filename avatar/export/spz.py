"""Export of posed Gaussians in Niantic's compressed format SPZ, versions 4, 3 and 2.

All store the same bytes per Gaussian, one attribute after the other: position (3 x 24-bit fixed point, little endian),
opacity (u8), color (3 x u8, `f_dc` * 0.15 + 0.5), scale (3 x u8, (ln + 10) * 16), rotation (u32: the index of the
largest component of xyzw in the upper 2 bits, the three others with a sign and 9 bits of sqrt(2) * component each), and
the spherical harmonics above degree 0 (u8, coefficient * 128 + 128, channels of a coefficient together). Version 3 is a
16-byte header and all attributes in one gzip stream; version 4 a 32-byte header, records of extensions, a table of
sizes, and a zstd frame per attribute. Version 2 is version 3 with another rotation: x, y and z of the quaternion whose
w is positive (3 x u8, component * 127.5 + 127.5).

Axes are RUB: x to the person's right, y up, z to the back, so that the face looks along -z. Converters then make the
.ply (right, down, front) and the .glb (left, up, front) that headsplat writes from it, and the other way round. Source:
github.com/nianticlabs/spz, README and extensions/README.

Zstandard frames (RFC 8878): compressed where a library is installed, else valid frames of stored blocks.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.common.files import atomic_path
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import Gaussians, HeadParams

from .placement import turned_around
from .ply import placed, remarks

SpzVersion = Literal[2, 3, 4]
MAGIC = b"NGSP"
_AXES = "x points to the person's right, y up, the face looks along -z"
#: Of positions: steps of 15 micrometers up to 128 m. With the 12 of Niantic's library (0.24 mm) an image of a head at
#: 512x512 pixels loses 6 dB.
FRACTIONAL_BITS = 16
#: Gaussians that readers of versions 2 and 3 accept; version 4 has no limit.
MAX_COUNT_GZIP = 10_000_000
#: Type of the record with our comments: the upper 16 bits are the vendor's, chosen freely.
COMMENTS_RECORD = 0x4853_0001
_HAS_EXTENSIONS = 0x2
_DEGREES = {1: 0, 4: 1, 9: 2, 16: 3}

#: Python's own from 3.14 on, then the package of the same format.
_LIBRARIES = ("compression.zstd", "zstandard")
_LEVEL = 12
_BLOCK = 1 << 17  # bytes, the largest of the format


def zstd_frame(data: bytes) -> bytes:
    """One frame of `data` (< 4 GiB) that stores its size."""
    library = _library()
    return stored_frame(data) if library is None else bytes(library.compress(data, _LEVEL))


def stored_frame(data: bytes) -> bytes:
    """One frame of `data` (< 4 GiB) in stored blocks, 3 bytes larger per block, for any reader of the format."""
    size_of_4_bytes = 2 << 6
    single_segment = 1 << 5
    parts = [struct.pack("<IBI", 0xFD2FB528, size_of_4_bytes | single_segment, len(data))]
    for start in range(0, max(len(data), 1), _BLOCK):
        block = data[start : start + _BLOCK]
        is_last = start + _BLOCK >= len(data)
        parts += [struct.pack("<I", len(block) << 3 | is_last)[:3], block]
    return b"".join(parts)


def _library() -> Any:
    """The first installed library with `compress(data, level)`; None without one."""
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def write_spz(
    path: str | Path, avatar: Avatar, params: HeadParams, version: SpzVersion = 4, consent: str = CONSENT
) -> None:
    """Write the Gaussians of one frame as a .spz atomically; an existing file is replaced.

    The origin is between the eyes in the mean pose, units are meters; the faces of the mesh layer are flat Gaussians.

    Args:
        path: the file to write.
        avatar: the avatar.
        params: [1], from `posed`, a track or a retargeted motion.
        version: of the format; 3 or 2 for programs that do not know 4.
        consent: the consent statement stored in the file.

    Raises:
        HeadsplatError: the format cannot store the Gaussians: too many, or too far from the origin.
    """
    gaussians = placed(avatar, params, turned_around())
    _check(path, gaussians, version)
    with atomic_path(path) as part:
        part.write_bytes(spz_bytes(gaussians, remarks(_AXES, consent, avatar.sampling), version))


def spz_bytes(gaussians: Gaussians, lines: Sequence[str] = (), version: SpzVersion = 4) -> bytes:
    """The .spz of Gaussians [1,N] whose axes are those of the format; `lines` are stored as text."""
    count = len(gaussians)
    degree = _DEGREES[gaussians.sh.shape[2]]
    streams = [stream for stream in _streams(gaussians, version) if stream]
    text = "\n".join(single_line(" ".join(line.split())) for line in lines)
    if version != 4:
        header = struct.pack("<4sIIBBBB", MAGIC, version, count, degree, FRACTIONAL_BITS, 0, 0)
        return _gzip(header + b"".join(streams), text)
    payload = text.encode("utf-8", "replace")
    record = struct.pack("<II", COMMENTS_RECORD, len(payload)) + payload if payload else b""
    frames = [zstd_frame(stream) for stream in streams]
    flags = _HAS_EXTENSIONS if record else 0
    fields = (MAGIC, 4, count, degree, FRACTIONAL_BITS, flags, len(streams), 32 + len(record))
    header = struct.pack("<4sIIBBBBI12x", *fields)
    sizes = [struct.pack("<QQ", len(frame), len(stream)) for frame, stream in zip(frames, streams, strict=True)]
    return b"".join([header, record, *sizes, *frames])


def _check(path: str | Path, gaussians: Gaussians, version: SpzVersion) -> None:
    """Raise HeadsplatError for Gaussians that the format cannot store."""
    if version != 4 and len(gaussians) > MAX_COUNT_GZIP:
        raise HeadsplatError(
            f"{path}: {len(gaussians)} Gaussians, version {version} of .spz stores up to {MAX_COUNT_GZIP}; "
            "use version 4"
        )
    farthest = float(gaussians.means.abs().max())
    limit = 2.0 ** (23 - FRACTIONAL_BITS) - 1
    if not farthest < limit:
        raise HeadsplatError(
            f"{path}: a Gaussian is {farthest:.0f} m from the origin, .spz stores up to {limit:.0f} m; export a .ply"
        )


def _streams(gaussians: Gaussians, version: SpzVersion) -> list[bytes]:
    """The six attributes in the order of the format; the last is empty for degree 0."""
    sh = gaussians.sh[0].double()
    return [
        _fixed_point(gaussians.means[0]),
        _bytes(gaussians.opacities[0] * 255),
        _bytes((sh[:, 0] * 0.15 + 0.5) * 255),
        _bytes((gaussians.scales[0].double().log() + 10) * 16),
        (_first_three if version == 2 else _smallest_three)(gaussians.quats[0]),
        _bytes(sh[:, 1:] * 128 + 128),
    ]


def _bytes(values: Tensor) -> bytes:
    """`values`, rounded and clamped to 0..255, in row-major order."""
    return _numpy(values).round().clip(0, 255).astype(np.uint8).tobytes()


def _fixed_point(means: Tensor) -> bytes:
    """Positions [N,3] as signed integers of 24 bits, little endian."""
    fixed = (_numpy(means) * 2**FRACTIONAL_BITS).round().astype("<i4")
    return fixed.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()


def _first_three(quats: Tensor) -> bytes:
    """x, y and z of quaternions [N,4] wxyz, a byte each.

    Readers compute w from the others, which is inaccurate where it is small: 12 degrees. A Gaussian stays the
    same when it turns by half a turn about an axis of its own, which moves any component of the quaternion to the place
    of w. The largest is moved there; w is then at least 1/2 and the rotation accurate to 1.5 degrees.
    """
    w, x, y, z = _numpy(torch.nn.functional.normalize(quats.double(), dim=-1)).T
    # q, q i, q j and q k
    turned = np.stack([[w, x, y, z], [-x, w, z, -y], [-y, -z, w, x], [-z, y, -x, w]])  # [4,4,N]
    largest = np.abs(turned[:, 0]).argmax(0)
    chosen = turned[largest, :, np.arange(len(quats))]  # [N,4]
    xyz = chosen[:, 1:] * np.where(chosen[:, :1] < 0, -1.0, 1.0)
    return (xyz * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8).tobytes()


def _smallest_three(quats: Tensor) -> bytes:
    """Quaternions [N,4] wxyz without their largest component, whose sign is made positive; 32 bits each."""
    xyzw = _numpy(torch.nn.functional.normalize(quats.double(), dim=-1))[:, [1, 2, 3, 0]]
    largest = np.abs(xyzw).argmax(1)[:, None]
    others = np.array([[row for row in range(4) if row != index] for index in range(4)])[largest[:, 0]]
    sign = np.where(np.take_along_axis(xyzw, largest, 1) < 0, -1.0, 1.0)
    values = np.take_along_axis(xyzw, others, 1) * sign
    magnitudes = (np.abs(values) * (511 * 2**0.5)).round().clip(0, 511).astype("<u4")
    fields = magnitudes | (values < 0).astype("<u4") << 9
    packed = largest[:, 0].astype("<u4") << 30 | fields[:, 0] << 20 | fields[:, 1] << 10 | fields[:, 2]
    return packed.astype("<u4").tobytes()


def _numpy(values: Tensor) -> NDArray[Any]:
    return values.detach().cpu().double().numpy()


def _gzip(data: bytes, comment: str) -> bytes:
    """A gzip file (RFC 1952) without a time, with `comment` in its header."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    has_comment = 0x10
    unknown_system = 0xFF
    header = struct.pack("<HBBIBB", 0x8B1F, 8, has_comment, 0, 2, unknown_system)
    text = comment.encode("latin-1", "replace").replace(b"\0", b" ") + b"\0"
    body = compressor.compress(data) + compressor.flush()
    return header + text + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
