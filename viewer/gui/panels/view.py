"""The view panel: kind of image, mesh overlay, background, appearance, light, size and count of splats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from avatar.model.parts.light.lights import PRESETS, light_named
from avatar.model.parts.light.relight import Relighting
from viewer.render.view_settings import VIEW_KINDS, ViewSettings
from viewer.session.edits import Change, Edit, SetAppearance
from viewer.session.mix import Mix
from viewer.session.state import Measuring, State

_MIX = "mix"
_RECORDED_LIGHT = "as recorded"


def view_panel(state: State) -> Iterator[Edit]:
    """Kind of image, overlay, background, appearance, light, splats."""
    view = state.view
    avatar = state.avatar
    for index, kind in enumerate(VIEW_KINDS):
        if index:
            imgui.same_line()
        if imgui.radio_button(kind, view.kind == kind):
            view = replace(view, kind=kind)
    _, overlay = imgui.slider_float("mesh overlay", view.mesh_overlay, 0, 1, "%.2f")
    _, color = imgui.color_edit3("background", list(view.background))
    if state.mix.names:
        imgui.separator_text("recordings")
        if (mix := _appearance(state.mix)) != state.mix:
            yield SetAppearance(mix.by_name())
    imgui.separator_text("light")
    relighting = _light(view.relighting)
    imgui.separator_text("splats")
    _, scale = imgui.slider_float("size", view.splat_scale, 0.05, 2, "%.2f")
    count = avatar.gaussians if view.count is None else view.count
    _, count = imgui.slider_int("Gaussians", count, 1, avatar.gaussians)
    degree = avatar.sh_degree if view.sh_degree is None else view.sh_degree
    if avatar.sh_degree:
        _, degree = imgui.slider_int("SH degree", degree, 0, avatar.sh_degree)
    red, green, blue = (min(max(float(value), 0.0), 1.0) for value in color)
    view = replace(
        view,
        mesh_overlay=min(max(overlay, 0.0), 1.0),
        background=(red, green, blue),
        splat_scale=min(max(scale, 0.05), 2.0),
        count=None if count >= avatar.gaussians else max(count, 1),
        relighting=relighting,
        sh_degree=None if degree >= avatar.sh_degree else max(degree, 0),
    )
    if imgui.button("reset"):
        view = ViewSettings()
    yield from _measuring(state.measuring)
    if view != state.view:
        yield Change("view", view)


def _measuring(measuring: Measuring) -> Iterator[Edit]:
    """Whether clicks in the image measure, and the distance between the last two."""
    imgui.separator_text("measure")
    changed, active = imgui.checkbox("click two places", measuring.active)
    if changed:
        yield Change("measuring", replace(measuring, active=active))
    if text := measuring.to_text():
        imgui.text_wrapped(text)


def _appearance(mix: Mix) -> Mix:
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
            mix = mix.move_weight(index, float(value))
    return mix


def _light(relighting: Relighting | None) -> Relighting | None:
    """A menu of lights; with one, sliders of its direction and strength. A map that was opened stays in the menu."""
    name = _RECORDED_LIGHT if relighting is None else relighting.light.name
    names = [_RECORDED_LIGHT, *PRESETS, *([] if name in (_RECORDED_LIGHT, *PRESETS) else [name])]
    changed, row = imgui.combo("light", names.index(name), names)
    if changed and names[row] != name:
        if names[row] == _RECORDED_LIGHT:
            return None
        light = light_named(names[row])
        return Relighting(light) if relighting is None else Relighting(light, relighting.turn, relighting.strength)
    if relighting is None:
        return None
    _, turn = imgui.slider_float("from", relighting.turn, -180, 180, "%.0f deg", imgui.SliderFlags_.always_clamp)
    _, strength = imgui.slider_float("strength", relighting.strength, 0, 1, "%.2f", imgui.SliderFlags_.always_clamp)
    if (turn, strength) == (relighting.turn, relighting.strength):
        return relighting
    return Relighting(relighting.light, turn, strength)
