"""The avatar's image: drag to orbit or paint, right drag to pan, wheel for the distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from imgui_bundle import imgui

from viewer.render.orbit import Orbit
from viewer.session.edits import Change, Edit, Measure, Paint
from viewer.session.state import SLIDERS, TIMELINE, Measuring, State

if TYPE_CHECKING:
    from viewer.gui.panels import Textures

#: Degrees and meters for a drag across the image's height; the factor of the distance for one step of the wheel. The
#: meters are the height of the front camera's image at the head (.33 to .42): the head follows the mouse.
_ORBIT = 180.0
_PAN = 0.38
_ZOOM = 0.9
#: Pixels of the screen that a click may move; colors of a measured line and of its edge, ABGR.
_CLICK = 4.0
_INK = 0xFF30E0FF
_EDGE = 0xC0000000

#: Texture coordinates at the image's upper left and lower right corner: as rendered, and mirrored.
_CORNERS = ((imgui.ImVec2(0, 0), imgui.ImVec2(1, 1)), (imgui.ImVec2(1, 0), imgui.ImVec2(0, 1)))


def viewport_panel(state: State, textures: Textures) -> Iterator[Edit]:
    """The image as large as fits, mouse input on it, and the performer's camera in a corner."""
    space = imgui.get_content_region_avail()
    corner = imgui.get_cursor_pos()
    width, height = textures.avatar.size
    if not width:
        return
    scale = min(space.x / width, space.y / height)
    size = imgui.ImVec2(max(width * scale, 1), max(height * scale, 1))
    start = imgui.ImVec2(corner.x + (space.x - size.x) / 2, corner.y + (space.y - size.y) / 2)
    imgui.set_cursor_pos(start)
    mirrored = state.camera.mirrored
    imgui.image(textures.avatar.reference(), size, *_CORNERS[mirrored])
    imgui.set_cursor_pos(start)
    flags = imgui.ButtonFlags_.mouse_button_left | imgui.ButtonFlags_.mouse_button_right
    imgui.invisible_button("image", size, flags | imgui.ButtonFlags_.mouse_button_middle)
    painting = state.editing.active
    if (
        painting
        and imgui.is_item_active()
        and imgui.is_mouse_down(imgui.MouseButton_.left)
        and not imgui.get_io().key_shift
    ):
        yield from _brush_stamp(size, mirrored)
    if state.measuring.active and not painting:
        yield from _measured_place(size, mirrored)
        _ruler_line(state.measuring, size, mirrored)
    tool = painting or state.measuring.active
    orbit = _orbit_after_input(state.camera.orbit, -size.y if mirrored else size.y, size.y, painting, tool)
    if orbit != state.camera.orbit:
        yield Change("camera", replace(state.camera, orbit=orbit))
    if state.panels.camera_preview and state.source not in (SLIDERS, TIMELINE) and textures.preview.size[0]:
        _preview(start, size, textures, mirrored)


def _brush_stamp(size: imgui.ImVec2, mirrored: bool) -> Iterator[Edit]:
    """The stamp of the brush where the mouse is pressed or has moved."""
    io = imgui.get_io()
    clicked = imgui.is_item_activated()
    if clicked or io.mouse_delta.x or io.mouse_delta.y:
        yield Paint(_under_mouse(size, mirrored), clicked)


def _under_mouse(size: imgui.ImVec2, mirrored: bool) -> tuple[float, float]:
    """The place of the mouse in the image as rendered, 0..1 from the upper left."""
    io = imgui.get_io()
    corner = imgui.get_item_rect_min()
    across = (io.mouse_pos.x - corner.x) / size.x
    return (1 - across if mirrored else across, (io.mouse_pos.y - corner.y) / size.y)


def _measured_place(size: imgui.ImVec2, mirrored: bool) -> Iterator[Edit]:
    """The place that is measured, where the left button is released without a drag, which orbits."""
    left = imgui.MouseButton_.left
    moved = imgui.get_mouse_drag_delta(left, 0)
    if imgui.is_item_deactivated() and imgui.is_mouse_released(left) and max(abs(moved.x), abs(moved.y)) < _CLICK:
        yield Measure(_under_mouse(size, mirrored))


def _ruler_line(measuring: Measuring, size: imgui.ImVec2, mirrored: bool) -> None:
    """The line between the two places, and its length."""
    corner = imgui.get_item_rect_min()
    lines = imgui.get_window_draw_list()
    ends = [
        imgui.ImVec2(corner.x + (1 - x if mirrored else x) * size.x, corner.y + y * size.y) for x, y in measuring.ends
    ]
    for end in ends:
        lines.add_circle_filled(end, 4, _INK)
        lines.add_circle(end, 5, _EDGE)
    if len(ends) == 2:
        lines.add_line(ends[0], ends[1], _EDGE, 4)
        lines.add_line(ends[0], ends[1], _INK, 2)
        text = measuring.to_text()
        extent = imgui.calc_text_size(text)
        x = min(max((ends[0].x + ends[1].x - extent.x) / 2, corner.x + 6), corner.x + size.x - extent.x - 6)
        place = imgui.ImVec2(x, max(ends[0].y, ends[1].y) + 10)
        lines.add_rect_filled(
            imgui.ImVec2(place.x - 4, place.y - 2), imgui.ImVec2(place.x + extent.x + 4, place.y + extent.y + 2), _EDGE
        )
        lines.add_text(place, _INK, text)


def _orbit_after_input(
    orbit: Orbit, horizontal: float, vertical: float, painting: bool = False, tool: bool = False
) -> Orbit:
    """The orbit after mouse input on the image.

    Args:
        orbit: before.
        horizontal: pixels of the screen for a drag of 1 to the right; negative in a mirrored image.
        vertical: the same downwards.
        painting: whether the left button paints; the right one orbits then, and pans with shift.
        tool: whether clicks mean something else than a double click, which resets the camera.
    """
    io = imgui.get_io()
    if imgui.is_item_active():
        right = io.mouse_delta.x / horizontal
        down = io.mouse_delta.y / vertical
        right_button = imgui.is_mouse_down(imgui.MouseButton_.right)
        panning = (right_button and not painting) or imgui.is_mouse_down(imgui.MouseButton_.middle) or io.key_shift
        if painting and not panning and not right_button:
            return orbit
        if panning:
            meters = _PAN * orbit.distance / orbit.lens
            orbit = orbit.pan_by(-right * meters, down * meters)
        else:
            orbit = orbit.rotate_by(-right * _ORBIT, down * _ORBIT)
    if imgui.is_item_hovered():
        if io.mouse_wheel:
            orbit = orbit.scale_distance(_ZOOM**io.mouse_wheel)
        if not tool and imgui.is_mouse_double_clicked(imgui.MouseButton_.left):
            orbit = Orbit()
    return orbit


def _preview(start: imgui.ImVec2, size: imgui.ImVec2, textures: Textures, mirrored: bool) -> None:
    """The performer's camera, in the image's lower left corner, a quarter of its width."""
    width, height = textures.preview.size
    preview_size = imgui.ImVec2(size.x / 4, size.x / 4 * height / width)
    imgui.set_cursor_pos(imgui.ImVec2(start.x + 8, start.y + size.y - preview_size.y - 8))
    imgui.image(textures.preview.reference(), preview_size, *_CORNERS[mirrored])
