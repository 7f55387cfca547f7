"""Bounded reading of Wavefront files, which are untrusted input."""

from __future__ import annotations

from pathlib import Path

from avatar.common.files import os_error_sentence
from avatar.errors import HeadsplatError

#: Head meshes have a few megabytes; split into words, a text takes many times its size in memory.
_MOST_BYTES = 16 << 20


def read_text(path: Path) -> bytes:
    """The bytes of a text file.

    Raises:
        HeadsplatError: it is missing, cannot be read, or is larger than any mesh of a head.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise HeadsplatError(f"{path}: {size >> 20} MB, more than any mesh of a head has; copy the file again")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise HeadsplatError(f"{path}: missing; copy all files that belong together") from error
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error
