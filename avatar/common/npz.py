"""Arrays of an .npz or .npy file that anybody may have made: sizes are checked, nothing is evaluated or unpickled."""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 1 << 30  # a whole file unpacked
_MOST_MEMBERS = 1000
_LONGEST_HEADER = 1024  # numpy pads the header of an array of numbers to 64 or 128 bytes
_LONGEST_TEXT = 1 << 16  # bytes
_HEADER = re.compile(
    rb"\{'descr': *'([<>|=]?[a-zA-Z]\d*)', *'fortran_order': *(True|False), *'shape': *\(([\dL, ]*)\) *,? *\}\s*"
)
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, KeyError, ValueError,
    RuntimeError,  # an encrypted member, or an unknown way of packing
)  # fmt: skip


class DamagedNpz(Exception):
    """What is wrong with a file or a member of it; the caller adds the names."""


class Npz:
    """The members of an .npz file, read one at a time."""

    def __init__(self, path: Path) -> None:
        """Read the list of members.

        Raises:
            DamagedNpz: it is no archive, or unpacks to more than any file of ours or FLAME's.
        """
        self._path = path
        with self._opened() as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > _MOST_MEMBERS or size > _MOST_BYTES:
                raise DamagedNpz(f"it claims {len(entries)} members of {size >> 20} MB, more than any model has")
        self.names: Collection[str] = {entry.filename.removesuffix(".npy") for entry in entries}

    def array(self, name: str) -> NDArray[Any]:
        """The numbers of a member.

        Raises:
            DamagedNpz: no such member, not numbers, or fewer of them than its shape claims.
        """
        with self._opened() as archive, self._member(archive, name) as (stream, size):
            return _numbers(stream, size)

    def texts(self) -> list[str]:
        """The short texts among the members; those that cannot be read are left out."""
        return [text for name in sorted(self.names) if (text := self._text(name))]

    def _text(self, name: str) -> str:
        try:
            with self._opened() as archive, self._member(archive, name) as (stream, _):
                dtype, _, shape = _header(stream)
                if shape != () or dtype.kind != "U" or dtype.itemsize > _LONGEST_TEXT:
                    return ""
                return str(np.frombuffer(stream.read(dtype.itemsize), dtype)[0])
        except DamagedNpz:
            return ""

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except _DAMAGE as error:
            raise DamagedNpz(str(error)[:200]) from error

    @contextmanager
    def _member(self, archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], int]]:
        """The unpacked bytes of a member and how many there are."""
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DamagedNpz("is packed in a way that numpy does not use")
        with archive.open(entry) as stream:
            yield stream, entry.file_size


def read_npy(path: Path) -> NDArray[Any]:
    """The numbers of an .npy file.

    Raises:
        DamagedNpz: no array of numbers, or fewer of them than its shape claims.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise DamagedNpz(f"has {size >> 20} MB, more than any motion")
        with path.open("rb") as stream:
            return _numbers(stream, size)
    except _DAMAGE as error:
        raise DamagedNpz(str(error)[:200]) from error


def _numbers(stream: IO[bytes], size: int) -> NDArray[Any]:
    """The array in a .npy stream of `size` bytes."""
    dtype, fortran, shape = _header(stream)
    if dtype.kind not in "fiub":
        raise DamagedNpz(f"holds {dtype}, not numbers")
    count = math.prod(shape) * dtype.itemsize
    if count > size or math.prod(max(length, 1) for length in shape) >= 1 << 59:  # numpy counts in int64
        raise DamagedNpz(f"claims the shape {list(shape)[:6]} of {dtype} but has {size} bytes")
    return np.frombuffer(stream.read(count), dtype, math.prod(shape)).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Type, whether in Fortran's order, and shape that a .npy stream claims; numpy itself would evaluate it."""
    start = stream.read(8)
    form = {1: "<H", 2: "<I", 3: "<I"}.get(start[6]) if len(start) == 8 and start[:6] == b"\x93NUMPY" else None
    if form is None:
        raise DamagedNpz("is no array")
    (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    found = _HEADER.fullmatch(stream.read(length)) if length <= _LONGEST_HEADER else None
    if found is None:
        raise DamagedNpz("holds objects or records, not numbers")
    sizes = tuple(int(size.rstrip(b"L ")) for size in found[3].split(b",") if size.strip())
    try:
        return np.dtype(found[1].decode()), found[2] == b"True", sizes
    except TypeError:
        raise DamagedNpz(f"holds {found[1].decode()!r}, not numbers") from None
