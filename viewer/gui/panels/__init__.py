"""The panels: each a function from the state to edits; imgui keeps what little there is to keep between frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imgui_bundle import imgui

from viewer.gui.panels.camera import camera_panel
from viewer.gui.panels.face import face_panel
from viewer.gui.panels.latency import latency_panel
from viewer.gui.panels.source import source_panel
from viewer.gui.panels.timeline import timeline_panel
from viewer.gui.panels.view import look_panel
from viewer.gui.texture import Texture
from viewer.session.edits import Edit
from viewer.session.state import State

Panel = Callable[[State], Iterator[Edit]]


@dataclass(frozen=True)
class Shown:
    """The pictures on the graphics card."""

    picture: Texture
    preview: Texture


#: Name of each dock, which one it is cut from, on what side, and the share it takes of what is left of that.
DOCKS = (
    ("Bottom", "MainDockSpace", imgui.Dir.down, 0.16),
    ("Left", "MainDockSpace", imgui.Dir.left, 0.22),
    ("Right", "MainDockSpace", imgui.Dir.right, 0.36),
    ("LeftBelow", "Left", imgui.Dir.down, 0.5),
)
#: Title, dock, function, and whether it is open at first.
PANELS: tuple[tuple[str, str, Panel, bool], ...] = (
    ("Source", "Left", source_panel, True),
    ("Latency", "LeftBelow", latency_panel, True),
    ("Face", "Right", face_panel, True),
    ("Camera", "Right", camera_panel, True),
    ("Look", "Right", look_panel, True),
    ("Timeline", "Bottom", timeline_panel, True),
)
