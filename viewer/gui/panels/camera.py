"""The camera: numbers for what the mouse does in the picture, saved views, resolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from viewer.render.orbit import FARTHEST, NEAREST, STEEPEST, Orbit
from viewer.session.edits import Change, Do, Edit
from viewer.session.state import HEIGHTS, State, View

_NARROWEST, _WIDEST = 5.0, 90.0  # degrees


def camera_panel(state: State) -> Iterator[Edit]:
    """Orbit, field of view, saved views, size of the picture."""
    view = _resolution(_lens(_orbit(state.view), state))
    if view != state.view:
        yield Change("view", view)
    yield from _saved(state.view)


def _orbit(view: View) -> View:
    orbit = view.orbit
    _, yaw = imgui.slider_float("turn", orbit.yaw, -180, 180, "%.0f deg")
    _, pitch = imgui.slider_float("tilt", orbit.pitch, -STEEPEST, STEEPEST, "%.0f deg")
    _, distance = imgui.slider_float(
        "distance", orbit.distance, NEAREST, FARTHEST, "%.2f", imgui.SliderFlags_.logarithmic
    )
    _, pan = imgui.drag_float2("pan", list(orbit.pan), 0.002, -2, 2, "%.3f m")
    moved = replace(orbit, yaw=yaw, pitch=pitch, distance=distance, pan=(pan[0], pan[1]))
    if imgui.button("front (Home)"):
        moved = Orbit()
    return view if moved == orbit else replace(view, orbit=moved.within())


def _lens(view: View, state: State) -> View:
    shown = state.status.field_of_view
    changed, degrees = imgui.slider_float("field of view", shown, _NARROWEST, _WIDEST, "%.0f deg")
    if not changed or degrees <= 0:
        return view
    return replace(view, orbit=view.orbit.with_field_of_view(shown, degrees))


def _resolution(view: View) -> View:
    imgui.separator_text("picture")
    names = [str(height) for height in HEIGHTS]
    height = min(HEIGHTS, key=lambda each: abs(each - view.height))
    changed, place = imgui.combo("pixels high", HEIGHTS.index(height), names)
    if changed:
        view = replace(view, height=HEIGHTS[place])
    changed, fill = imgui.checkbox("as wide as the window", view.width is None)
    if changed:
        view = replace(view, width=None if fill else view.height)
    changed, mirrored = imgui.checkbox("mirror (M)", view.mirrored)
    if changed:
        view = replace(view, mirrored=mirrored)
    _, drops = imgui.checkbox("fewer pixels while the camera moves", view.drop_while_moving)
    return view if drops == view.drop_while_moving else replace(view, drop_while_moving=drops)


def _saved(view: View) -> Iterator[Edit]:
    imgui.separator_text("saved views")
    if imgui.button("save this view"):
        yield Do("save view")
    for place, (name, orbit) in enumerate(view.saved):
        if imgui.button(f"{name}##{place}"):
            yield Change("view", replace(view, orbit=orbit))
        imgui.same_line()
        if imgui.small_button(f"x##{place}"):
            yield Do("forget view", place)
