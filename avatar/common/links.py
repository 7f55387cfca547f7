"""Symbolic links in folders from other people: a link must not bring in a file from elsewhere on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from avatar.errors import HeadsplatError


def check_within(root: Path, path: Path) -> Path:
    """Return `path` if it is within the folder `root` after all symbolic links are followed.

    Args:
        root: a folder; it may be a link itself.
        path: a path that starts with `root`; it need not exist.

    Raises:
        HeadsplatError: `path`, or a folder between `root` and it, is a link to a place outside of `root`.
    """
    base = Path(os.path.realpath(root))
    if Path(os.path.realpath(path)).is_relative_to(base):
        return path
    between = [place for place in (*reversed(path.parents), path) if root in place.parents]
    link = next((place for place in between if not Path(os.path.realpath(place)).is_relative_to(base)), path)
    raise HeadsplatError(
        f"{link}: a symbolic link to {os.path.realpath(link)}, outside of {root}; replace it by a copy or remove it"
    )
