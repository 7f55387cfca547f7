"""Whether a window can be opened here at all, found out before anything that takes long is loaded."""

from __future__ import annotations

import os
import sys

from avatar.errors import HeadsplatError

WHAT_TO_DO = "run it on a desktop, or where there is none under `xvfb-run -a`; `headsplat render` needs no window"


def check_display() -> None:
    """Raise HeadsplatError where there is no display to open a window on, or nothing to open it with."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise HeadsplatError(
            f"there is no display for the window (neither DISPLAY nor WAYLAND_DISPLAY is set); {WHAT_TO_DO}"
        )
    try:
        # In this order: the bundle tells the other which GLFW to share.
        import imgui_bundle  # noqa: F401
        import glfw  # isort: skip
    except ImportError as error:
        raise HeadsplatError(
            f"the window's libraries cannot be loaded ({error}); on Debian and Ubuntu: apt install libgl1 libx11-6"
        ) from error
    told: list[str] = []
    glfw.set_error_callback(lambda code, words: told.append(os.fsdecode(words)))
    if not glfw.init():
        place = " ".join(f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if name in os.environ)
        found = f"{place}: " if place else ""
        reason = told[-1] if told else "GLFW gives no reason"
        raise HeadsplatError(f"{found}the display cannot be opened ({reason}); {WHAT_TO_DO}")
    glfw.set_error_callback(None)
