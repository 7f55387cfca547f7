"""The avatar in the middle of the window: drag to turn, right drag to pan, wheel to come nearer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from imgui_bundle import imgui

from viewer.render.orbit import Orbit
from viewer.session.edits import Change, Edit
from viewer.session.state import SLIDERS, TIMELINE, State

if TYPE_CHECKING:
    from viewer.gui.panels import Shown

#: Degrees and meters for a drag across the picture's height; the distance for one notch of the wheel. The meters are
#: what the front camera's picture spans at the head (.33 to .42, by the avatar): the head stays under the mouse.
_TURN, _PAN, _NEARER = 180.0, 0.38, 0.9

#: Of the texture, at the picture's upper left and lower right corner: as it is, and mirrored.
_CORNERS = ((imgui.ImVec2(0, 0), imgui.ImVec2(1, 1)), (imgui.ImVec2(1, 0), imgui.ImVec2(0, 1)))


def picture_panel(state: State, shown: Shown) -> Iterator[Edit]:
    """The picture as large as fits, its handling, and the driver's camera in a corner."""
    room = imgui.get_content_region_avail()
    corner = imgui.get_cursor_pos()
    width, height = shown.picture.size
    if not width:
        return
    scale = min(room.x / width, room.y / height)
    size = imgui.ImVec2(max(width * scale, 1), max(height * scale, 1))
    start = imgui.ImVec2(corner.x + (room.x - size.x) / 2, corner.y + (room.y - size.y) / 2)
    imgui.set_cursor_pos(start)
    mirrored = state.view.mirrored
    imgui.image(shown.picture.reference(), size, *_CORNERS[mirrored])
    imgui.set_cursor_pos(start)
    flags = imgui.ButtonFlags_.mouse_button_left | imgui.ButtonFlags_.mouse_button_right
    imgui.invisible_button("picture", size, flags | imgui.ButtonFlags_.mouse_button_middle)
    moved = _handled(state.view.orbit, -size.y if mirrored else size.y, size.y)
    if moved != state.view.orbit:
        yield Change("view", replace(state.view, orbit=moved))
    if state.panels.camera_picture and state.driving not in (SLIDERS, TIMELINE) and shown.preview.size[0]:
        _preview(start, size, shown, mirrored)


def _handled(orbit: Orbit, across: float, high: float) -> Orbit:
    """The orbit after what the mouse did on the picture; `across` and `high` are the pixels of the screen that count as
    its height, negative where a move to the right is one to the left."""
    io = imgui.get_io()
    if imgui.is_item_active():
        right, down = io.mouse_delta.x / across, io.mouse_delta.y / high
        panning = imgui.is_mouse_down(imgui.MouseButton_.right) or imgui.is_mouse_down(imgui.MouseButton_.middle)
        if panning or io.key_shift:
            orbit = orbit.moved(-right * _PAN * orbit.distance / orbit.lens, down * _PAN * orbit.distance / orbit.lens)
        else:
            orbit = orbit.turned(-right * _TURN, down * _TURN)
    if imgui.is_item_hovered():
        if io.mouse_wheel:
            orbit = orbit.nearer(_NEARER**io.mouse_wheel)
        if imgui.is_mouse_double_clicked(imgui.MouseButton_.left):
            orbit = Orbit()
    return orbit


def _preview(start: imgui.ImVec2, size: imgui.ImVec2, shown: Shown, mirrored: bool) -> None:
    """The driver's camera, in the picture's lower left corner, a quarter as wide."""
    width, height = shown.preview.size
    across = size.x / 4
    high = across * height / width
    imgui.set_cursor_pos(imgui.ImVec2(start.x + 8, start.y + size.y - high - 8))
    imgui.image(shown.preview.reference(), imgui.ImVec2(across, high), *_CORNERS[mirrored])
