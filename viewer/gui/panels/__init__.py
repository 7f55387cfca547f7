"""The panels, each a function from the state to edits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imgui_bundle import imgui

from viewer.gui.panels import wings
from viewer.gui.panels.camera import camera_panel
from viewer.gui.panels.face import face_panel
from viewer.gui.panels.latency import latency_panel
from viewer.gui.panels.source import source_panel
from viewer.gui.panels.timeline import timeline_panel
from viewer.gui.panels.view import view_panel
from viewer.gui.texture import Texture
from viewer.session.edits import Edit
from viewer.session.state import State

Panel = Callable[[State], Iterator[Edit]]


@dataclass(frozen=True)
class Textures:
    """The images in graphics memory."""

    avatar: Texture
    preview: Texture


#: Name of each dock, the dock it is split from, the side, and its fraction of that dock.
DOCKS = (
    ("Bottom", "MainDockSpace", imgui.Dir.down, 0.16),
    ("Left", "MainDockSpace", imgui.Dir.left, 0.22),
    ("Right", "MainDockSpace", imgui.Dir.right, 0.36),
    ("LeftBelow", "Left", imgui.Dir.down, 0.5),
)


def edit_panel(state: State) -> Iterator[Edit]:
    """Paint, layers, styles, undo, save."""
    return wings.edit_panel(state)


def reading_panel(state: State) -> Iterator[Edit]:
    """What the face that drives shows."""
    return wings.reading_panel(state)


#: Title, dock, function, and whether it is open initially.
PANELS: tuple[tuple[str, str, Panel, bool], ...] = (
    ("Source", "Left", source_panel, True),
    ("Latency", "LeftBelow", latency_panel, True),
    ("Reading", "LeftBelow", reading_panel, True),  # behind the latency, beside the sliders
    ("Face", "Right", face_panel, True),
    ("Camera", "Right", camera_panel, True),
    ("View", "Right", view_panel, True),
    ("Edit", "Right", edit_panel, True),
    ("Timeline", "Bottom", timeline_panel, True),
)
