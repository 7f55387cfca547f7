"""Files dropped on the window."""

from __future__ import annotations

from typing import Any

import glfw
from imgui_bundle.glfw_utils import glfw_window_hello_imgui

from viewer.session.edits import Do, Edit


class Drops:
    """Collects what is dropped; made inside the window's first frame."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        # GLFW keeps no reference of its own to a callback.
        callback: Any = self._dropped  # the stubs know nothing of the list
        glfw.set_drop_callback(glfw_window_hello_imgui(), callback)

    def take(self) -> list[Edit]:
        """An edit for each file since the last call."""
        paths, self._paths = self._paths, []
        return [Do("open", path) for path in paths]

    def _dropped(self, window: Any, paths: list[str]) -> None:
        self._paths += paths
