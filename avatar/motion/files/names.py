"""Expression names in files and their normalized form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52

ARKIT = "arkit52"
FLAME = "flame"
#: MediaPipe's neutral class; not an expression.
NEUTRAL = "_neutral"

_KNOWN = {name.lower(): name for name in ARKIT_52}
_NAMES = frozenset(ARKIT_52)
_SIDE = re.compile(r"(?:[_ -](l|r|left|right)|\.(l|r))$")
#: The mesh before a name (Face.jawOpen), and the number that Reallusion's names begin with (A25_Jaw_Open).
_PREFIX = re.compile(r"^.*[.:|/]|^a\d\d_")


@lru_cache(maxsize=4096)
def common_name(name: str) -> str:
    """ARKit's camelCase form of a name in any case and with any separators; other names unchanged.

    Sides may be `_L` and `_R`; what stands before the last point is the mesh's.
    """
    lower = name.strip().lower()
    if lower in _KNOWN:
        return _KNOWN[lower]
    lower = _PREFIX.sub("", _SIDE.sub(lambda found: found[1] or found[2], lower))
    lower = re.sub(r"[_ -]", "", _PREFIX.sub("", lower))
    for ending in ("", "eft", "ight"):
        if lower + ending in _KNOWN:
            return _KNOWN[lower + ending]
    return name.strip()


def is_arkit(name: str) -> bool:
    """Whether a name is one of ARKit's 52 in any spelling that is read."""
    return common_name(name) in _NAMES


def arkit_columns(names: Sequence[str], where: str, notes: list[str]) -> list[tuple[int, str]]:
    """(column, name) of each expression in `names`; extra, missing and dropped names are added to the notes.

    Raises:
        HeadsplatError: no name is an ARKit expression, or two columns have the same name.
    """
    columns = [(i, common_name(name)) for i, name in enumerate(names) if name.strip() not in ("", NEUTRAL)]
    found = [name for _, name in columns]
    twice = next((name for name, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise HeadsplatError(f"{where}: {twice} is there twice; remove one of the two")
    known = set(found) & set(ARKIT_52)
    if not known:
        first = ", ".join(name[:40] for name in found[:3]) or "none"
        raise HeadsplatError(f"{where}: no ARKit expression among its names ({first}); expected names like jawOpen")
    if any(name.strip() == NEUTRAL for name in names):
        notes.append("_neutral is dropped: MediaPipe's score of the neutral face, not an expression")
    if extra := [name for name in found if name not in known]:
        notes.append(f"{len(extra)} names are not ARKit's and are kept unchanged: {listed(extra)}")
    if missing := [name for name in ARKIT_52 if name not in known]:
        notes.append(f"not in the file: {listed(missing)} ({len(missing)} of ARKit's 52)")
    return columns


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first names, comma-separated, and the number of the others."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:60] for name in names[:most]) + rest
