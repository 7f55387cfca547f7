"""Buttons of faces by name, a section of the face panel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from avatar.performance.mixing.presets import PRESETS
from viewer.gui.panels.widgets import button_lines
from viewer.session.edits import Change, Edit
from viewer.session.state import Sliders


def preset_buttons(sliders: Sliders) -> Iterator[Edit]:
    """A button for each preset, as many per line as fit; the current one is highlighted."""
    names = [preset.name for preset in PRESETS]
    current = [preset.name for preset in PRESETS if dict(sliders.weights) == preset.weights]
    clicked = button_lines(names, current)
    if clicked is not None:
        yield Change("sliders", replace(sliders, weights=PRESETS[clicked].weights), smooth=True)
