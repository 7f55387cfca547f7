"""Digests that identify the source of a capture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from avatar.common.photo_files import are_photos


def source_digest(sources: Sequence[Path]) -> str:
    """Digest that identifies a video, a folder of several cameras, or photos in their order."""
    if are_photos(sources):
        return hashlib.sha256("".join(file_digest(path) for path in sources).encode()).hexdigest()
    (source,) = sources
    if source.is_dir():
        from capture.multiview.pipeline import folder_digest

        return folder_digest(source)
    return file_digest(source)


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
