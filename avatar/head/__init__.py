"""The head models: one contract (`HeadModel`), whatever source is behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError

from .model import HeadModel

if TYPE_CHECKING:
    from .flame import Detector

__all__ = ["HeadModel", "load_head"]

EMBEDDED = "embedded"
_SUFFIXES = (".pkl", ".npz")
#: heads read from files: by path, size, time of change, and whether a detector was at hand
_READ: dict[tuple[Path, int, int, bool], HeadModel] = {}


def load_head(
    source: str | Path = EMBEDDED,
    detector: Detector | None = None,
    told: Callable[[str], None] | None = None,
) -> HeadModel:
    """The head model that `source` names; the same object every time, on the CPU in float32.

    Args:
        source: "embedded", or a FLAME or SMPL-X file (.pkl or .npz).
        detector: finds landmarks in pictures, once for each file; without one headsplat's own mean face is laid on.
        told: receives sentences about a file when it is read.

    Raises:
        HeadsplatError: there is no such head, or the file is none.
    """
    if source == EMBEDDED:
        return _embedded()
    path = Path(source)
    if path.suffix not in _SUFFIXES:
        raise HeadsplatError(f"head {str(source)!r}: give 'embedded' or a FLAME file ({' or '.join(_SUFFIXES)})")
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such head file; give FLAME's .pkl or .npz, or leave --head out")
    state = path.stat()
    key = (path.resolve(), state.st_size, state.st_mtime_ns, detector is not None)
    if key not in _READ:
        from .flame import load_flame

        _READ[key] = load_flame(path, detector, told=told)
    return _READ[key]


@lru_cache(maxsize=1)
def _embedded() -> HeadModel:
    from .embedded import head_from
    from .stored import read

    return head_from(read())
