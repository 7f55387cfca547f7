"""Names of expressions as files write them, and as the rest of the project does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52

ARKIT, FLAME = "arkit52", "flame"
#: What MediaPipe calls the face itself; it is no expression and has no weight to give.
NEUTRAL = "_neutral"

_KNOWN = {name.lower(): name for name in ARKIT_52}
_SIDES = {"_l": "left", "_r": "right", "_left": "left", "_right": "right"}
_SIDE = re.compile(r"(_l|_r|_left|_right)$")


def common_name(name: str) -> str:
    """ARKit's own camelCase of a name in whatever case, `_L` and `_R` for the sides; other names as they are."""
    plain = _SIDE.sub(lambda found: _SIDES[found[0]], name.strip().lower())
    return _KNOWN.get(plain, name.strip())


def arkit_columns(names: Sequence[str], where: str, notes: list[str]) -> list[tuple[int, str]]:
    """(column, name) of each expression among `names`; notes say what is extra, missing or left out.

    Raises:
        HeadsplatError: none is an ARKit expression, or two columns are the same one.
    """
    columns = [(i, common_name(name)) for i, name in enumerate(names) if name.strip() not in ("", NEUTRAL)]
    found = [name for _, name in columns]
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise HeadsplatError(f"{where}: {twice} is there twice; leave one of the two out")
    known = set(found) & set(ARKIT_52)
    if not known:
        some = ", ".join(name[:40] for name in found[:3]) or "none"
        raise HeadsplatError(f"{where}: no ARKit expression among its names ({some}); expected jawOpen and the like")
    if any(name.strip() == NEUTRAL for name in names):
        notes.append("_neutral is left out: MediaPipe's measure of how much the face rests, not an expression")
    if extra := [name for name in found if name not in known]:
        notes.append(f"{len(extra)} names are not ARKit's and kept as they are: {listed(extra)}")
    if missing := [name for name in ARKIT_52 if name not in known]:
        notes.append(f"not in the file: {listed(missing)} ({len(missing)} of ARKit's 52)")
    return columns


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first few names with commas, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:60] for name in names[:most]) + rest
