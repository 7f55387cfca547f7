"""Controls of the appearances of an avatar of several recordings."""

from __future__ import annotations

from imgui_bundle import imgui

from viewer.session.mix import Mix

_MIX = "mix"


def appearance_controls(mix: Mix) -> Mix:
    """A menu of the recordings, and a slider of the weight of each; the sum of the weights stays 1."""
    names = [*mix.names, *([_MIX] if mix.chosen is None else [])]
    row = len(mix.names) if mix.chosen is None else mix.chosen
    changed, picked = imgui.combo("appearance", row, names)
    if changed and picked < len(mix.names):
        return mix.only(picked)
    for index, (name, weight) in enumerate(zip(mix.names, mix.weights, strict=True)):
        text = f"{name}###appearance {index}"
        changed, value = imgui.slider_float(text, weight, 0, 1, "%.2f", imgui.SliderFlags_.always_clamp)
        if changed:
            mix = mix.moved(index, float(value))
    return mix
