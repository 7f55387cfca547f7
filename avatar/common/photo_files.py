"""Names of photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def are_photos(paths: Sequence[Path]) -> bool:
    """Whether `paths` has names of photos, and nothing else."""
    return bool(paths) and all(path.suffix.lower() in PHOTO_SUFFIXES for path in paths)
