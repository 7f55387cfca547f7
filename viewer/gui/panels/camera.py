"""The camera panel: orbit, field of view, resolution, saved views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from viewer.render.orbit import MAX_DISTANCE, MAX_PITCH, MIN_DISTANCE, Orbit
from viewer.session.edits import Change, Do, Edit, RemoveView
from viewer.session.state import HEIGHTS, CameraSettings, State

# degrees
_MIN_FIELD = 5.0
_MAX_FIELD = 90.0


def camera_panel(state: State) -> Iterator[Edit]:
    """Orbit, field of view, size of the image, saved views."""
    camera = _resolution(_lens(_orbit(state.camera), state))
    if camera != state.camera:
        yield Change("camera", camera)
    yield from _saved_views(state.camera)


def _orbit(camera: CameraSettings) -> CameraSettings:
    orbit = camera.orbit
    _, yaw = imgui.slider_float("yaw", orbit.yaw, -180, 180, "%.0f deg")
    _, pitch = imgui.slider_float("pitch", orbit.pitch, -MAX_PITCH, MAX_PITCH, "%.0f deg")
    _, distance = imgui.slider_float(
        "distance", orbit.distance, MIN_DISTANCE, MAX_DISTANCE, "%.2f", imgui.SliderFlags_.logarithmic
    )
    _, pan = imgui.drag_float2("pan", list(orbit.pan), 0.002, -2, 2, "%.3f m")
    moved = replace(orbit, yaw=yaw, pitch=pitch, distance=distance, pan=(pan[0], pan[1]))
    if imgui.button("front (Home)"):
        moved = Orbit()
    return camera if moved == orbit else replace(camera, orbit=moved.clamp())


def _lens(camera: CameraSettings, state: State) -> CameraSettings:
    current = state.status.field_of_view
    changed, degrees = imgui.slider_float("field of view", current, _MIN_FIELD, _MAX_FIELD, "%.0f deg")
    if not changed or degrees <= 0:
        return camera
    return replace(camera, orbit=camera.orbit.with_field_of_view(current, degrees))


def _resolution(camera: CameraSettings) -> CameraSettings:
    imgui.separator_text("image")
    names = [str(height) for height in HEIGHTS]
    height = min(HEIGHTS, key=lambda each: abs(each - camera.height))
    changed, index = imgui.combo("height", HEIGHTS.index(height), names)
    if changed:
        camera = replace(camera, height=HEIGHTS[index])
    changed, fill = imgui.checkbox("as wide as the window", camera.width is None)
    if changed:
        camera = replace(camera, width=None if fill else camera.height)
    changed, mirrored = imgui.checkbox("mirror (M)", camera.mirrored)
    if changed:
        camera = replace(camera, mirrored=mirrored)
    _, reduced = imgui.checkbox("lower resolution while moving", camera.reduce_while_moving)
    return camera if reduced == camera.reduce_while_moving else replace(camera, reduce_while_moving=reduced)


def _saved_views(camera: CameraSettings) -> Iterator[Edit]:
    imgui.separator_text("saved views")
    if imgui.button("save this view"):
        yield Do("save view")
    for index, (name, orbit) in enumerate(camera.saved):
        if imgui.button(f"{name}##{index}"):
            yield Change("camera", replace(camera, orbit=orbit))
        imgui.same_line()
        if imgui.small_button(f"x##{index}"):
            yield RemoveView(index)
