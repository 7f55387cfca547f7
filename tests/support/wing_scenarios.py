"""Which modules of the wings the window loads: `python -m tests.support.wing_scenarios AVATAR OUT`.

The first scenarios run in a window that a live source drives; each later one opens a panel. Their results name the
modules that are loaded at their end. tests/system/window/test_loaded_wings.py checks them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from avatar.model.avatar_file import load_avatar
from tests.support.fake_live import LIVE
from tests.support.window_driver import WindowDriver, run_scenarios
from tests.support.wings import loaded_wings
from viewer.session.session import Session

_FRAMES = 30


def live(window: WindowDriver) -> dict[str, Any]:
    """Frames of a live source, and a calibration."""
    window.rest(_FRAMES)
    window.click("Source", "calibrate (C)")
    window.rest(_FRAMES)
    return {"source": window.state.source, "loaded": loaded_wings()}


def panels(window: WindowDriver) -> dict[str, Any]:
    """Every panel that needs no wing while a live source drives."""
    for panel in ("Face", "Camera", "View", "Source", "Latency", "Timeline"):
        window.context.window_focus(f"//{panel}")
        window.rest()
    return {"loaded": loaded_wings()}


def edit(window: WindowDriver) -> dict[str, Any]:
    """A style of the edit panel."""
    before = window.image()
    window.click("Edit", "film-noir")
    window.rest()
    changed = bool((window.image() != before).any())
    window.click("Edit", "###undo")
    window.click("Edit", "find layers")
    window.rest()
    return {"changed": changed, "layers": sum(window.state.editing.layers), "loaded": loaded_wings()}


def face(window: WindowDriver) -> dict[str, Any]:
    """A preset, and a text, of the face panel."""
    window.click("Source", "sliders")
    window.click("Face", "smile")
    preset = dict(window.state.sliders.weights)
    window.click("Face/sliders", "###emotion")
    window.set("Face/sliders", "##describe", "wink left")
    window.rest()
    text = dict(window.state.sliders.weights)
    return {"preset": preset, "text": text, "loaded": loaded_wings()}


def reading(window: WindowDriver) -> dict[str, Any]:
    """The reading panel."""
    window.click("Source", "sliders")
    window.context.window_focus("//Reading")
    window.until(lambda: bool(window.state.reading.label))
    window.rest()
    return {"label": window.state.reading.label, "loaded": loaded_wings()}


def main() -> None:
    """Run the scenarios."""
    avatar, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir()
    session = Session(load_avatar(avatar), avatar.name, LIVE, folder=out, path=avatar)
    session.select_source("smile")
    scenarios = {"live": live, "panels": panels, "edit": edit, "face": face, "reading": reading}
    run_scenarios(session, scenarios, out)


if __name__ == "__main__":
    main()
