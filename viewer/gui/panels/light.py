"""Controls of another light on the avatar."""

from __future__ import annotations

from imgui_bundle import imgui

from avatar.model.parts.light.lights import PRESETS, light_named
from avatar.model.parts.light.relight import Relighting

_OWN = "as recorded"


def light_controls(shown: Relighting | None) -> Relighting | None:
    """A menu of lights; with one, sliders of its direction and strength. A map that was opened stays in the menu."""
    name = _OWN if shown is None else shown.light.name
    names = [_OWN, *PRESETS, *([] if name in (_OWN, *PRESETS) else [name])]
    changed, row = imgui.combo("light", names.index(name), names)
    if changed and names[row] != name:
        if names[row] == _OWN:
            return None
        light = light_named(names[row])
        return Relighting(light) if shown is None else Relighting(light, shown.turn, shown.strength)
    if shown is None:
        return None
    _, turn = imgui.slider_float("from", shown.turn, -180, 180, "%.0f deg", imgui.SliderFlags_.always_clamp)
    _, strength = imgui.slider_float("strength", shown.strength, 0, 1, "%.2f", imgui.SliderFlags_.always_clamp)
    if (turn, strength) == (shown.turn, shown.strength):
        return shown
    return Relighting(shown.light, turn, strength)
