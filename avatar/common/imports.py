"""Imports of large libraries at the start of a command."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection in a block that imports, and none later of what it made, unless all was imported before.

    Modules stay until the process ends. Collections during the import of PyTorch take a tenth of its time, and those at
    the end of the process, which search every object, a third of it.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if len(sys.modules) > before:
            gc.freeze()
