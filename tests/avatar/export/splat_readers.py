"""Strict readers of SPZ and KHR_gaussian_splatting, written from the formats' descriptions: rows like those of a PLY.

They share no code with `avatar.export`. Every byte must be used, every reserved one 0.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.avatar.export.readers import Glb

_SH_TERMS = {0: 1, 1: 4, 2: 9, 3: 16}
_BYTE_FIELDS = "position", "alpha", "color", "scale", "rotation", "sh"


@dataclass(frozen=True)
class Spz:
    """A .spz: its version, text, positions' fractional bits, and rows with the names of a splat PLY."""

    version: int
    text: str
    fractional_bits: int
    rows: NDArray[Any]

    @staticmethod
    def read(path: Path) -> Spz:
        """Read versions 2 and 3 (gzip) or 4 (zstd frames)."""
        content = path.read_bytes()
        return _gzipped(content) if content[:2] == b"\x1f\x8b" else _version_4(content)


def _gzipped(content: bytes) -> Spz:
    method, flags, time = struct.unpack_from("<BBI", content, 2)
    assert (method, flags, time) == (8, 0x10, 0)  # deflate, a comment, no time
    text = content[10 : content.index(b"\0", 10)].decode("latin-1")
    data = gzip.decompress(content)
    magic, version, count, degree, bits, spz_flags, reserved = struct.unpack_from("<4sIIBBBB", data)
    assert (magic, spz_flags, reserved) == (b"NGSP", 0, 0) and version in (2, 3)
    streams, start = [], 16
    for size in _sizes(count, degree, version):
        streams.append(data[start : start + size])
        start += size
    assert start == len(data)
    return Spz(version, text, bits, _rows(streams, count, degree, bits, version))


def _version_4(content: bytes) -> Spz:
    magic, version, count, degree, bits, flags, number, table = struct.unpack_from("<4sIIBBBBI", content)
    assert (magic, version) == (b"NGSP", 4) and not any(content[20:32])
    sizes = [size for size in _sizes(count, degree, 4) if size]
    assert number == len(sizes)
    text = ""
    if flags:
        record, length = struct.unpack_from("<II", content, 32)
        assert flags == 2 and record >> 16 and record & 0xFFFF and 40 + length == table
        text = content[40:table].decode()
    else:
        assert table == 32
    streams, start = [], table + 16 * number
    for row, size in enumerate(sizes):
        compressed, uncompressed = struct.unpack_from("<QQ", content, table + 16 * row)
        assert uncompressed == size
        streams.append(unzstd(content[start : start + compressed]))
        assert len(streams[-1]) == size
        start += compressed
    assert start == len(content)
    return Spz(4, text, bits, _rows([*streams, b""][:6], count, degree, bits, 4))


def _sizes(count: int, degree: int, version: int) -> list[int]:
    rotation = 3 if version == 2 else 4
    return [count * width for width in (9, 1, 3, 3, rotation, 3 * (_SH_TERMS[degree] - 1))]


def unzstd(frame: bytes) -> bytes:
    """The content of a Zstandard frame (RFC 8878): stored blocks are read here, others by the package zstandard."""
    magic, descriptor, size = struct.unpack_from("<IBI", frame)
    assert magic == 0xFD2FB528
    start, blocks, last = 9, [], descriptor != 0xA0
    while not last:
        header = int.from_bytes(frame[start : start + 3], "little")
        last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        if kind:
            break
        assert length <= 1 << 17
        blocks.append(frame[start + 3 : start + 3 + length])
        start += 3 + length
    else:
        if descriptor == 0xA0:
            assert start == len(frame) and sum(map(len, blocks)) == size
            return b"".join(blocks)
    zstandard = pytest.importorskip("zstandard", reason="needs zstandard to read compressed frames")
    return bytes(zstandard.ZstdDecompressor().decompress(frame))


def _rows(streams: list[bytes], count: int, degree: int, bits: int, version: int) -> NDArray[Any]:
    raw = dict(zip(_BYTE_FIELDS, (np.frombuffer(stream, np.uint8) for stream in streams), strict=True))
    position = raw["position"].reshape(count, 3, 3).astype(np.int64) @ [1, 256, 65536]
    position = np.where(position >= 1 << 23, position - (1 << 24), position) / 2.0**bits
    alpha = np.clip(raw["alpha"] / 255, 1e-6, 1 - 1e-6)
    values = {
        "xyz": position,
        "opacity": np.log(alpha / (1 - alpha)),
        "f_dc": (raw["color"].reshape(count, 3) / 255 - 0.5) / 0.15,
        "f_rest": ((raw["sh"].reshape(count, -1, 3) - 128.0) / 128).swapaxes(1, 2).reshape(count, -1),
        "scale": raw["scale"].reshape(count, 3) / 16 - 10,
        "rot": _first_three(raw["rotation"]) if version == 2 else _quats(raw["rotation"].view("<u4")),
    }
    return _named(values)


def _first_three(packed: NDArray[np.uint8]) -> NDArray[np.float64]:
    """wxyz of x, y and z in bytes, 0 at 127.5; w is not negative."""
    xyz = packed.reshape(-1, 3) / 127.5 - 1
    return np.column_stack([np.sqrt(np.maximum(1 - np.square(xyz).sum(1), 0)), xyz])


def _quats(packed: NDArray[np.uint32]) -> NDArray[np.float64]:
    """wxyz of the index of the largest of xyzw and three times a sign and 9 bits."""
    quats = np.zeros((len(packed), 4))
    for row, word in enumerate(packed.tolist()):
        largest = word >> 30
        for index, shift in zip([i for i in range(4) if i != largest], (20, 10, 0), strict=True):
            field = word >> shift & 1023
            quats[row, index] = (-1 if field >> 9 else 1) * (field & 511) / 511 * 0.5**0.5
        quats[row, largest] = max(1 - (quats[row] ** 2).sum(), 0) ** 0.5
    return quats[:, [3, 0, 1, 2]]


def glb_splats(glb: Glb) -> NDArray[Any]:
    """The rows of the only primitive of a .glb with KHR_gaussian_splatting, checked as the extension demands."""
    assert glb.json["extensionsUsed"] == ["KHR_gaussian_splatting"]
    (mesh,) = glb.json["meshes"]
    (primitive,) = mesh["primitives"]
    properties = primitive["extensions"]["KHR_gaussian_splatting"]
    assert primitive["mode"] == 0 and "indices" not in primitive
    assert (properties["kernel"], properties["colorSpace"]) == ("ellipse", "srgb_rec709_display")
    accessors = {name: glb.json["accessors"][row] for name, row in primitive["attributes"].items()}
    assert len({accessor["count"] for accessor in accessors.values()}) == 1
    arrays = {name: glb.values(row) for name, row in primitive["attributes"].items()}
    position = accessors["POSITION"]
    assert position["min"] == arrays["POSITION"].min(0).tolist()
    assert position["max"] == arrays["POSITION"].max(0).tolist()

    def taken(name: str, kind: str) -> NDArray[np.float64]:
        accessor = accessors.pop(name)
        assert (accessor["type"], accessor["componentType"]) == (kind, 5126)
        return arrays[name].astype(np.float64)

    prefix = "KHR_gaussian_splatting:"
    opacity, quats = taken(f"{prefix}OPACITY", "SCALAR"), taken(f"{prefix}ROTATION", "VEC4")
    assert opacity.min() >= 0 and opacity.max() <= 1
    assert np.abs(np.linalg.norm(quats, axis=1) - 1).max() < 1e-6
    opacity = np.clip(opacity, 1e-6, 1 - 1e-6)
    degree = max(int(name.split("_")[-3]) for name in accessors if ":SH_" in name)
    names = [f"{prefix}SH_DEGREE_{d}_COEF_{n}" for d in range(degree + 1) for n in range(2 * d + 1)]
    sh = np.stack([taken(name, "VEC3") for name in names], 2)  # [N,3,K]
    values = {
        "xyz": taken("POSITION", "VEC3"),
        "opacity": np.log(opacity / (1 - opacity)),
        "f_dc": sh[..., 0],
        "f_rest": sh[..., 1:].reshape(len(sh), -1),
        "scale": np.log(np.maximum(taken(f"{prefix}SCALE", "VEC3"), 1e-12)),
        "rot": quats[:, [3, 0, 1, 2]],
    }
    assert set(accessors) == {"COLOR_0"}
    return _named(values)


def _named(values: dict[str, NDArray[np.float64]]) -> NDArray[Any]:
    """The columns as a structured array with the names of a splat PLY."""
    columns: dict[str, NDArray[np.float64]] = {}
    for name, array in values.items():
        if name == "xyz":
            columns |= {axis: array[:, index] for index, axis in enumerate(name)}
        elif array.ndim == 1:
            columns[name] = array
        else:
            columns |= {f"{name}_{index}": array[:, index] for index in range(array.shape[1])}
    return np.rec.fromarrays(list(columns.values()), names=list(columns))
