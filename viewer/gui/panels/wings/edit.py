"""The edit panel: brush, layers, styles, undo, and saving as a new avatar file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from avatar.editing.layers import LAYERS
from avatar.editing.style import presets
from viewer.session.edits import AddStyle, Change, Do, Edit, HideLayer
from viewer.session.state import Brush, Editing, State

_MAX_RADIUS = 30.0  # millimeters


def edit_panel(state: State) -> Iterator[Edit]:
    """Paint, layers, styles, undo, save."""
    editing = state.editing
    _, active = imgui.checkbox("paint with the mouse", editing.active)
    changed = replace(editing, active=active, brush=_brush(editing.brush))
    if changed != editing:
        yield Change("editing", changed)
    imgui.separator_text("layers")
    yield from _layers(editing)
    imgui.separator_text("styles")
    for index, name in enumerate(presets()):
        if index % 3:
            imgui.same_line()
        if imgui.button(name):
            yield AddStyle(name)
    imgui.separator_text("edits")
    yield from _history(editing)


def _brush(brush: Brush) -> Brush:
    """The brush after input on its widgets."""
    recolored, color = imgui.color_edit3("color", list(brush.color))
    if recolored:
        red, green, blue = (min(max(float(value), 0.0), 1.0) for value in color)
        brush = replace(brush, color=(red, green, blue))
    return replace(
        brush,
        radius=_slider("radius", brush.radius, 0.3, _MAX_RADIUS, "%.1f mm"),
        opacity=_slider("opacity", brush.opacity, 0.0, 1.0),
        hardness=_slider("hardness", brush.hardness, 0.0, 1.0),
    )


def _slider(name: str, value: float, low: float, high: float, form: str = "%.2f") -> float:
    """The value of a slider; `value` itself without input, which imgui would round."""
    changed, moved = imgui.slider_float(name, value, low, high, form)
    return min(max(float(moved), low), high) if changed else value


def _layers(editing: Editing) -> Iterator[Edit]:
    """A check box for each layer that the avatar has."""
    if not editing.layers:
        if imgui.button("find layers"):
            yield Do("find layers")
        return
    for name, count in zip(LAYERS, editing.layers, strict=True):
        imgui.begin_disabled(count == 0)
        changed, is_shown = imgui.checkbox(f"{name}###layer {name}", name not in editing.hidden)
        imgui.end_disabled()
        imgui.same_line(120)
        imgui.text(f"{count} Gaussians" if count else "none")
        if changed:
            yield HideLayer(name, not is_shown)


def _history(editing: Editing) -> Iterator[Edit]:
    """Undo, redo, save."""
    for text, count, edit in (("undo", editing.undo, Do("undo")), ("redo", editing.redo, Do("redo"))):
        imgui.begin_disabled(count == 0)
        if imgui.button(f"{text} ({count})###{text}"):
            yield edit
        imgui.end_disabled()
        imgui.same_line()
    if imgui.button("save as a new avatar"):
        yield Do("save avatar")
