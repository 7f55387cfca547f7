"""Partial files: the visible files in which recordings grow, take.partial.mp4 beside take.mp4."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path


def partial_path(path: Path, suffix: str) -> Path:
    """The first unused name for the partial file of the output `path`: never that of another recording."""
    return next(name for name in _names(path, suffix) if not os.path.lexists(name))


def partial_files(path: Path, suffix: str) -> list[Path]:
    """Partial files of `path` that exist: of a run that was killed, or of one that is still recording."""
    return list(itertools.takewhile(os.path.lexists, _names(path, suffix)))


def _names(path: Path, suffix: str) -> Iterator[Path]:
    """take.partial.mp4, take.partial_2.mp4, ... of take.mp4."""
    stem = path.stem.removesuffix(".motion")
    yield path.with_name(f"{stem}.partial{suffix}")
    for number in itertools.count(2):
        yield path.with_name(f"{stem}.partial_{number}{suffix}")
