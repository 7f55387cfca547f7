"""Whether a window can be opened at all; told without loading anything that draws one."""

from __future__ import annotations

import importlib.util
import os
import sys

from avatar.errors import HeadsplatError

WHAT_TO_DO = "run it on a desktop, or where there is none under `xvfb-run -a`; `headsplat render` needs no window"


def check_display() -> None:
    """Raise HeadsplatError where there is no display to open a window on, or nothing that draws one."""
    if importlib.util.find_spec("imgui_bundle") is None:
        raise HeadsplatError("the window needs imgui-bundle; `pip install imgui-bundle` with Python 3.11 or newer")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise HeadsplatError(
            f"there is no display for the window (neither DISPLAY nor WAYLAND_DISPLAY is set); {WHAT_TO_DO}"
        )
