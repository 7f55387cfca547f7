"""The sign file of an output folder: it lists what headsplat wrote, and only that is ever deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from avatar.common.temporaries import open_unlinked

#: Name of the sign file.
SIGN = ".headsplat"
_TITLE = "headsplat wrote this folder; --overwrite replaces it as long as it contains nothing but these files:"
#: Files that file managers add by themselves.
_HARMLESS = {".DS_Store", "Thumbs.db", "desktop.ini"}


def sign_folder(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write the sign file of `folder`.

    Args:
        folder: an existing folder.
        names: paths of headsplat's files below it, with slashes; None: everything that is in it now.

    Raises:
        OSError: it cannot be written.
    """
    listed = sorted(_entries(folder) if names is None else names)
    with open(folder / SIGN, "wb", opener=open_unlinked) as stream:
        stream.write("\n".join([_TITLE, *listed, ""]).encode("utf-8", "surrogateescape"))


def signed_names(folder: Path) -> frozenset[str] | None:
    """The paths that the sign file of `folder` lists; None where there is no sign file."""
    path = folder / SIGN
    if path.is_symlink() or not path.is_file():
        return None
    title, *names = path.read_bytes().decode("utf-8", "surrogateescape").splitlines() or [""]
    return frozenset(names) if title == _TITLE else None


def unlisted_entries(folder: Path, names: Iterable[str]) -> list[str]:
    """Paths of all entries of `folder`, sorted, that are neither in `names` nor the sign file."""
    known = {*names, SIGN}
    return sorted(name for name in _entries(folder) if name not in known and name.rsplit("/")[-1] not in _HARMLESS)


def _entries(folder: Path) -> Iterator[str]:
    """Paths of all files, links and folders below `folder`, with slashes; links are not followed."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield (Path(parent) / name).relative_to(folder).as_posix()
