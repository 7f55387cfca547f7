"""The head models: one contract (`HeadModel`), whatever source is behind it."""

from __future__ import annotations

from functools import lru_cache

from avatar.errors import HeadsplatError

from .model import HeadModel

__all__ = ["HeadModel", "load_head"]


@lru_cache(maxsize=4)
def load_head(source: str = "embedded") -> HeadModel:
    """The head model that `source` names; the same object every time, on the CPU in float32.

    Raises:
        HeadsplatError: there is no such head.
    """
    if source != "embedded":
        raise HeadsplatError(f"head {source!r}: only 'embedded' is supported in this version; use --head embedded.")
    from .embedded import head_from
    from .stored import read

    return head_from(read())
