"""Sources of a capture: a video, a folder of several cameras, or photos; their check and their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from avatar.common.photo_files import are_photos, no_video
from avatar.errors import HeadsplatError


def check_source(paths: Sequence[Path]) -> None:
    """Raise HeadsplatError unless `paths` exist and are one video, one folder of several cameras, or photos only."""
    for path in paths:
        if not path.exists():
            raise HeadsplatError(
                f"{path}: no such file; give a video or photos (`headsplat train` accepts a capture folder as well)"
            )
    if len(paths) > 1 and not are_photos(paths):
        wrong = next(path for path in paths if not are_photos([path]))
        raise HeadsplatError(f"{wrong}: {no_video(wrong) or 'not a photo; give one video, or photos only'}")
    if not are_photos(paths) and (reason := no_video(paths[0])):
        raise HeadsplatError(f"{paths[0]}: {reason}")


def source_digest(paths: Sequence[Path]) -> str:
    """Digest that identifies a video, a folder of several cameras, or photos in their order."""
    if are_photos(paths):
        return hashlib.sha256("".join(file_digest(path) for path in paths).encode()).hexdigest()
    (source,) = paths
    return folder_digest(source) if source.is_dir() else file_digest(source)


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 in hexadecimal of the folder's description files, and of names and sizes of its other files.

    Hidden files are ignored: file managers and synchronization tools create them.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if any(component.startswith(".") for component in name.parts):
            continue
        digest.update(os.fsencode(f"{name.as_posix()}:{path.stat().st_size}\n"))
        if path.suffix in (".json", ".frame"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
