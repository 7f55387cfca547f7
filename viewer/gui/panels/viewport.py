"""The avatar's image: drag to orbit or paint, right drag to pan, wheel for the distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from imgui_bundle import imgui

from viewer.render.orbit import Orbit
from viewer.session.edits import Change, Edit, Paint
from viewer.session.state import SLIDERS, TIMELINE, State

if TYPE_CHECKING:
    from viewer.gui.panels import Textures

#: Degrees and meters for a drag across the image's height; the factor of the distance for one step of the wheel. The
#: meters are the height of the front camera's image at the head (.33 to .42): the head follows the mouse.
_ORBIT = 180.0
_PAN = 0.38
_ZOOM = 0.9

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
    orbit = _orbit_after_input(state.camera.orbit, -size.y if mirrored else size.y, size.y, painting)
    if orbit != state.camera.orbit:
        yield Change("camera", replace(state.camera, orbit=orbit))
    if state.panels.camera_preview and state.source not in (SLIDERS, TIMELINE) and textures.preview.size[0]:
        _preview(start, size, textures, mirrored)


def _brush_stamp(size: imgui.ImVec2, mirrored: bool) -> Iterator[Edit]:
    """The stamp of the brush where the mouse is pressed or has moved."""
    io = imgui.get_io()
    corner = imgui.get_item_rect_min()
    clicked = imgui.is_item_activated()
    if clicked or io.mouse_delta.x or io.mouse_delta.y:
        across = (io.mouse_pos.x - corner.x) / size.x
        down = (io.mouse_pos.y - corner.y) / size.y
        yield Paint((1 - across if mirrored else across, down), clicked)


def _orbit_after_input(orbit: Orbit, horizontal: float, vertical: float, painting: bool = False) -> Orbit:
    """The orbit after mouse input on the image.

    Args:
        orbit: before.
        horizontal: pixels of the screen for a drag of 1 to the right; negative in a mirrored image.
        vertical: the same downwards.
        painting: whether the left button paints; the right one orbits then, and pans with shift.
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
        if not painting and imgui.is_mouse_double_clicked(imgui.MouseButton_.left):
            orbit = Orbit()
    return orbit


def _preview(start: imgui.ImVec2, size: imgui.ImVec2, textures: Textures, mirrored: bool) -> None:
    """The performer's camera, in the image's lower left corner, a quarter of its width."""
    width, height = textures.preview.size
    preview_size = imgui.ImVec2(size.x / 4, size.x / 4 * height / width)
    imgui.set_cursor_pos(imgui.ImVec2(start.x + 8, start.y + size.y - preview_size.y - 8))
    imgui.image(textures.preview.reference(), preview_size, *_CORNERS[mirrored])
