"""The view panel: kind of image, mesh overlay, background, appearance, light, size and count of splats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.appearance import appearance_controls
from viewer.gui.panels.light import light_controls
from viewer.render.view_settings import VIEW_KINDS, ViewSettings
from viewer.session.edits import Change, Edit, SetAppearance
from viewer.session.state import State


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
        if (mix := appearance_controls(state.mix)) != state.mix:
            yield SetAppearance(mix.by_name())
    imgui.separator_text("light")
    relighting = light_controls(view.relighting)
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
    if view != state.view:
        yield Change("view", view)
