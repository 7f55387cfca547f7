"""Which modules of the wings a session and its panels load, step by step: `python -m tests.support.wing_steps`.

Prints a JSON object from the name of each step to the modules that it loaded first. Panels are drawn without a window.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imgui_bundle import imgui

from avatar.model.avatar_file import load_avatar
from tests.support.fake_live import LIVE
from tests.support.sample_avatar import SAMPLE
from tests.support.wings import loaded_wings
from viewer.gui.panels import PANELS
from viewer.gui.panels.menus import menus, status_bar
from viewer.gui.panels.shortcuts import shortcuts
from viewer.session.edits import Change, Do, Edit, SelectSource
from viewer.session.session import Session
from viewer.session.state import SLIDERS, State

#: Panels that need no wing while a live source drives.
_LIVE_PANELS = ("Source", "Latency", "Face", "Camera", "View", "Timeline")
_TIMEOUT = 20.0  # seconds


class Steps:
    """A session of the sample avatar, driven live, and what each step with it has loaded."""

    def __init__(self, folder: Path) -> None:
        self.session = Session(load_avatar(SAMPLE), SAMPLE.name, LIVE, folder=folder, path=SAMPLE)
        self.loaded: dict[str, list[str]] = {}
        self._before: set[str] = set()

    def run(self, name: str, *actions: Callable[[], object]) -> None:
        """Take a step, and list the modules that are new since the one before."""
        for action in actions:
            action()
        now = set(loaded_wings())
        self.loaded[name] = sorted(now - self._before)
        self._before = now

    def apply(self, *edits: Edit) -> None:
        """Apply edits and render."""
        self.session.apply(edits)
        assert not self.session.state.status.failed, self.session.state.status.message
        self.session.advance()

    def draw(self, *titles: str) -> None:
        """Draw panels for two frames, with the menus and shortcuts, and apply their edits."""
        panels = {title: panel for title, _, panel, _ in PANELS}
        for _ in range(2):
            imgui.new_frame()
            edits = [*shortcuts(self.session.state)]
            for title in titles:
                imgui.begin(title)
                edits += panels[title](self.session.state)
                imgui.end()
            edits += _bars(self.session.state)
            imgui.render()
            self.apply(*edits)

    def select(self, key: str) -> None:
        """Make a source active, and render until its pose is blended in."""
        self.session.apply([SelectSource(key)])
        end = time.monotonic() + _TIMEOUT
        while self.session.state.source != key and time.monotonic() < end:
            self.session.advance()
        assert self.session.state.source == key

    def read(self) -> None:
        """Make the reading panel visible until there is a reading."""
        self.session.reader.wanted = True
        end = time.monotonic() + _TIMEOUT
        while not self.session.state.reading.label and time.monotonic() < end:
            self.session.advance()
        assert self.session.state.reading.label


def _bars(state: State) -> list[Edit]:
    imgui.begin("bars")
    edits = [*menus(state), *status_bar(state)]
    imgui.end()
    return edits


def main() -> None:
    """Open a session, drive it live, draw the panels, then use each that needs a wing."""
    imgui.set_current_context(imgui.create_context())
    io = imgui.get_io()
    io.display_size = imgui.ImVec2(400, 3000)
    io.backend_flags |= imgui.BackendFlags_.renderer_has_textures
    io.set_ini_filename("")
    with tempfile.TemporaryDirectory() as folder:
        steps = Steps(Path(folder))
        session = steps.session
        camera = replace(session.state.camera, height=32, width=32)
        steps.run("session", lambda: steps.apply(Change("camera", camera)))
        steps.run("live", lambda: steps.select("smile"), lambda: steps.draw(*_LIVE_PANELS))
        steps.run("calibration", lambda: steps.apply(Do("calibrate")), lambda: steps.draw(*_LIVE_PANELS))
        steps.run("sliders", lambda: steps.select(SLIDERS), lambda: steps.draw("Face"))
        smile = replace(session.state.sliders, weights={"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9})
        steps.run("a smile", lambda: steps.apply(Change("sliders", smile)), lambda: steps.draw("Face"))
        steps.run("edit panel", lambda: steps.draw("Edit"))
        brush = replace(session.state.editing, active=True)
        steps.run("brush", lambda: steps.apply(Change("editing", brush)))
        steps.run("reading panel", steps.read, lambda: steps.draw("Reading"))
        session.close()
    print(json.dumps(steps.loaded))


if __name__ == "__main__":
    main()
