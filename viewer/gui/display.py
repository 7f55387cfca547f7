"""Whether a window can be opened here at all, found out before anything that takes long is loaded."""

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
    named = {name: os.environ[name] for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)}
    if sys.platform.startswith("linux") and not named:
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
    glfw.set_error_callback(lambda code, words: told.append(os.fsdecode(words)))  # GLFW's own goes to stderr
    opened = glfw.init()
    glfw.set_error_callback(None)  # type: ignore[arg-type]  # the stubs forget that there may be none
    if not opened:
        places = " ".join(f"{name}={value}" for name, value in named.items())
        reason = told[-1] if told else "GLFW gives no reason"
        raise HeadsplatError(f"{places or 'the window'}: no display can be opened ({reason}); {WHAT_TO_DO}")
