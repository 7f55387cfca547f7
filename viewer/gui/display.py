"""Checks whether a window can be opened, before anything that takes long is loaded."""

from __future__ import annotations

import importlib.util
import os
import sys

from avatar.errors import HeadsplatError

DISPLAY_ADVICE = "run it on a desktop, or without one under `xvfb-run -a`; `headsplat render` needs no window"


def check_display() -> None:
    """Raise HeadsplatError without a display, or without the window's libraries."""
    if importlib.util.find_spec("imgui_bundle") is None:
        raise HeadsplatError("the window needs imgui-bundle; `pip install imgui-bundle` with Python 3.11 or newer")
    named = {name: os.environ[name] for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)}
    if sys.platform.startswith("linux") and not named:
        raise HeadsplatError(
            f"there is no display for the window (neither DISPLAY nor WAYLAND_DISPLAY is set); {DISPLAY_ADVICE}"
        )
    try:
        # In this order: the bundle sets the GLFW library that both share.
        import imgui_bundle  # noqa: F401
        import glfw  # isort: skip
    except ImportError as error:
        raise HeadsplatError(
            f"the window's libraries cannot be loaded ({error}); on Debian and Ubuntu: apt install libgl1 libx11-6"
        ) from error
    messages: list[str] = []
    # Instead of GLFW's callback, which prints to stderr.
    glfw.set_error_callback(lambda code, message: messages.append(os.fsdecode(message)))
    opened = glfw.init()
    glfw.set_error_callback(None)  # type: ignore[arg-type]  # missing in the stubs
    if not opened:
        variables = " ".join(f"{name}={value}" for name, value in named.items())
        reason = messages[-1] if messages else "GLFW reports no reason"
        raise HeadsplatError(f"{variables or 'the window'}: no display can be opened ({reason}); {DISPLAY_ADVICE}")
