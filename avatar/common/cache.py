"""Where headsplat keeps what it can always make or fetch again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache(kind: str) -> Path:
    """The folder for one kind of cached things, not made here: in HEADSPLAT_CACHE, else in the platform's place."""
    if own := os.environ.get("HEADSPLAT_CACHE"):
        return Path(own).expanduser() / kind
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        base = Path(xdg)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "headsplat" / kind
