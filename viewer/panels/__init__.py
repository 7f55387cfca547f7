"""The panels: each a function from the state to edits; imgui keeps what little there is to keep between frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imgui_bundle import imgui

from viewer.edits import Edit
from viewer.panels.camera import camera_panel
from viewer.panels.look import look_panel
from viewer.panels.source import source_panel
from viewer.state import State
from viewer.texture import Texture

Panel = Callable[[State], Iterator[Edit]]


@dataclass(frozen=True)
class Shown:
    """The pictures on the graphics card."""

    picture: Texture
    preview: Texture


#: Name, side and share of what each dock takes of the window that is left.
DOCKS = (
    ("Left", imgui.Dir.left, 0.22),
    ("Right", imgui.Dir.right, 0.30),
    ("Bottom", imgui.Dir.down, 0.17),
)
#: Title, dock, function, and whether it is open at first.
PANELS: tuple[tuple[str, str, Panel, bool], ...] = (
    ("Source", "Left", source_panel, True),
    ("Camera", "Right", camera_panel, True),
    ("Look", "Right", look_panel, True),
)
