"""Modules in place of packages that are not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def modules_in_place(stand_ins: dict[str, ModuleType], anew: str) -> Iterator[None]:
    """Let `sys.modules` have the stand-ins within the block, in which the module `anew` is imported anew."""
    before = {name: sys.modules.pop(name, None) for name in (*stand_ins, anew)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
