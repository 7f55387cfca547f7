"""What is drawn: colors, alpha, depth, mesh, binding; size and number of splats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from imgui_bundle import imgui

from viewer.render.view_settings import Kind, Look
from viewer.session.edits import Change, Edit
from viewer.session.state import State

_KINDS = get_args(Kind)


def look_panel(state: State) -> Iterator[Edit]:
    """Kind of picture, overlay, background, splats."""
    look, subject = state.look, state.subject
    for place, kind in enumerate(_KINDS):
        if place:
            imgui.same_line()
        if imgui.radio_button(kind, look.kind == kind):
            look = replace(look, kind=kind)
    _, overlay = imgui.slider_float("mesh over it", look.mesh_overlay, 0, 1, "%.2f")
    _, color = imgui.color_edit3("background", list(look.background))
    imgui.separator_text("splats")
    _, scale = imgui.slider_float("size", look.splat_scale, 0.05, 2, "%.2f")
    count = subject.gaussians if look.count is None else look.count
    _, count = imgui.slider_int("Gaussians", count, 1, subject.gaussians)
    degree = subject.sh_degree if look.sh_degree is None else look.sh_degree
    if subject.sh_degree:
        _, degree = imgui.slider_int("SH degree", degree, 0, subject.sh_degree)
    red, green, blue = (min(max(float(value), 0.0), 1.0) for value in color)
    look = replace(
        look,
        mesh_overlay=min(max(overlay, 0.0), 1.0),
        background=(red, green, blue),
        splat_scale=min(max(scale, 0.05), 2.0),
        count=None if count >= subject.gaussians else max(count, 1),
        sh_degree=None if degree >= subject.sh_degree else max(degree, 0),
    )
    if imgui.button("reset"):
        look = Look()
    if look != state.look:
        yield Change("look", look)
