"""Files dropped on the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import glfw
from imgui_bundle.glfw_utils import glfw_window_hello_imgui

from viewer.session.edits import Edit, OpenFile


class Drops:
    """Collects dropped files; created in the window's first frame."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        # GLFW keeps no reference to the callback.
        callback: Any = self._dropped  # its list argument is missing in the stubs
        glfw.set_drop_callback(glfw_window_hello_imgui(), callback)

    def take(self) -> list[Edit]:
        """An edit for each file since the last call."""
        paths = self._paths
        self._paths = []
        return [OpenFile(Path(path)) for path in paths]

    def _dropped(self, window: Any, paths: list[str]) -> None:
        self._paths += paths
