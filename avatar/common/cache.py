"""The user's cache folder: files that headsplat can always create or fetch again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache(kind: str) -> Path:
    """The cache folder for one kind of file (not created): below HEADSPLAT_CACHE, else the platform's cache folder."""
    if chosen := os.environ.get("HEADSPLAT_CACHE"):
        return Path(chosen).expanduser() / kind
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        base = Path(xdg)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "headsplat" / kind
