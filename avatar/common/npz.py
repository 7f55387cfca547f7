"""Arrays of an untrusted .npz or .npy file: sizes are checked, nothing is evaluated or unpickled."""

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

from avatar.common.files import error_words

_MAX_BYTES = 1 << 30  # of a whole file, uncompressed
_MAX_MEMBERS = 1000
_MAX_HEADER = 1024  # bytes; numpy pads the header of a numeric array to 64 or 128
_MAX_TEXT = 1 << 16  # bytes
_HEADER = re.compile(
    rb"\{'descr': *'([<>|=]?[a-zA-Z]\d*)', *'fortran_order': *(True|False), *'shape': *\(([\dL, ]*)\) *,? *\}\s*"
)
_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    KeyError,
    ValueError,
    RuntimeError,  # an encrypted member, or an unknown compression method
)


class DamagedNpz(Exception):
    """The reason why a file or one of its members cannot be read; the caller adds the names."""


def _reason(error: Exception) -> str:
    return f"cannot be read: {error_words(error)}" if isinstance(error, OSError) else str(error)[:200]


class Npz:
    """The members of an .npz file, read one at a time."""

    def __init__(self, path: Path) -> None:
        """Read the list of members.

        Raises:
            DamagedNpz: it is not an archive, or larger than any file of headsplat's or FLAME's.
        """
        self._path = path
        with self._open() as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > _MAX_MEMBERS or size > _MAX_BYTES:
                raise DamagedNpz(f"it declares {len(entries)} members of {size >> 20} MB, more than any model has")
        self.names: Collection[str] = {entry.filename.removesuffix(".npy") for entry in entries}

    def array(self, name: str) -> NDArray[Any]:
        """The numeric array of a member.

        Raises:
            DamagedNpz: no such member, not numeric, or with fewer values than its shape declares.
        """
        with self._open() as archive, self._member(archive, name) as (stream, size):
            return _numbers(stream, size)

    def texts(self) -> list[str]:
        """The short strings among the members; unreadable ones are skipped."""
        return [text for name in sorted(self.names) if (text := self.text(name))]

    def text(self, name: str) -> str:
        """The text of a member; empty where there is no such member, or it is not a single short string."""
        try:
            with self._open() as archive, self._member(archive, name) as (stream, _):
                dtype, _, shape = _header(stream)
                if shape != () or dtype.kind != "U" or dtype.itemsize > _MAX_TEXT:
                    return ""
                return str(np.frombuffer(stream.read(dtype.itemsize), dtype)[0])
        except DamagedNpz:
            return ""

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except _READ_ERRORS as error:
            raise DamagedNpz(_reason(error)) from error

    @contextmanager
    def _member(self, archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], int]]:
        """The uncompressed byte stream of a member, and its length."""
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DamagedNpz("uses a compression method that numpy does not write")
        with archive.open(entry) as stream:
            yield stream, entry.file_size


def read_npy(path: Path) -> NDArray[Any]:
    """The numeric array of an .npy file.

    Raises:
        DamagedNpz: not a numeric array, or with fewer values than its shape declares.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DamagedNpz(f"has {size >> 20} MB, more than any motion")
        with path.open("rb") as stream:
            return _numbers(stream, size)
    except _READ_ERRORS as error:
        raise DamagedNpz(_reason(error)) from error


def _numbers(stream: IO[bytes], size: int) -> NDArray[Any]:
    """The array in a .npy stream of `size` bytes."""
    dtype, fortran, shape = _header(stream)
    if dtype.kind not in "fiub":
        raise DamagedNpz(f"holds {dtype}, not numbers")
    count = math.prod(shape) * dtype.itemsize
    if count > size or math.prod(max(length, 1) for length in shape) >= 1 << 59:  # numpy counts in int64
        raise DamagedNpz(f"declares the shape {list(shape)[:6]} of {dtype} but has {size} bytes")
    return np.frombuffer(stream.read(count), dtype, math.prod(shape)).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Dtype, whether in Fortran order, and shape declared by a .npy stream; numpy's own reader would evaluate it."""
    start = stream.read(8)
    form = {1: "<H", 2: "<I", 3: "<I"}.get(start[6]) if len(start) == 8 and start[:6] == b"\x93NUMPY" else None
    if form is None:
        raise DamagedNpz("is not an array")
    (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    match = _HEADER.fullmatch(stream.read(length)) if length <= _MAX_HEADER else None
    if match is None:
        raise DamagedNpz("holds objects or records, not numbers")
    sizes = tuple(int(size.rstrip(b"L ")) for size in match[3].split(b",") if size.strip())
    try:
        return np.dtype(match[1].decode()), match[2] == b"True", sizes
    except TypeError:
        raise DamagedNpz(f"holds {match[1].decode()!r}, not numbers") from None
