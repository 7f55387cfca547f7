"""Head, gaze and jaw by hand: a part of the face's panel."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.widgets import label, slider
from viewer.session.state import Sliders

#: Degrees, either way.
_HEAD = (("turn", 45.0), ("nod", 30.0), ("tilt", 30.0))
_ASIDE, _UP = 30.0, 25.0
_JAW_OPEN, _JAW_ASIDE = 15.0, 8.0
_DEGREES = "%.0f deg"
#: Pixels of the text before a slider, for the font's size: as many of its heights.
_LABEL = 4.5
#: Of the square that the gaze is dragged in, in rows of sliders.
_SQUARE = 3


def pose(sliders: Sliders) -> Sliders:
    """Sliders for head and jaw, and a square that the gaze is dragged in."""
    yaw, pitch, roll = (_row(name, value, -most, most) for (name, most), value in zip(_HEAD, sliders.head, strict=True))
    gaze = _gaze(sliders.gaze)
    opened, aside = sliders.jaw
    jaw = _row("jaw open", opened, 0, _JAW_OPEN), _row("jaw aside", aside, -_JAW_ASIDE, _JAW_ASIDE)
    return replace(sliders, head=(yaw, pitch, roll), gaze=gaze, jaw=jaw)


def _row(name: str, value: float, low: float, high: float) -> float:
    label(name, value != 0, _LABEL * imgui.get_font_size())
    return slider(name, value, low, high, _DEGREES, imgui.get_content_region_avail().x)


def _gaze(gaze: tuple[float, float]) -> tuple[float, float]:
    """Degrees to the person's left, which is the picture's right, and up."""
    side = _SQUARE * imgui.get_frame_height_with_spacing() - imgui.get_style().item_spacing.y
    start = imgui.get_cursor_pos_x()
    left, up = _square(gaze, side)
    imgui.same_line(start + max(side, _LABEL * imgui.get_font_size()) + imgui.get_style().item_spacing.x)
    imgui.begin_group()
    imgui.text("gaze")
    width = imgui.get_content_region_avail().x
    left = slider("gaze aside", left, -_ASIDE, _ASIDE, f"aside {_DEGREES}", width)
    up = slider("gaze up", up, -_UP, _UP, f"up {_DEGREES}", width)
    imgui.end_group()
    return left, up


def _square(gaze: tuple[float, float], side: float) -> tuple[float, float]:
    """The gaze after what the mouse did in a square, `side` pixels wide."""
    corner = imgui.get_cursor_screen_pos()
    imgui.invisible_button("gaze", imgui.ImVec2(side, side))
    left, up = gaze
    if imgui.is_item_active():
        mouse = imgui.get_mouse_pos()
        across, down = ((mouse.x - corner.x) / side, (mouse.y - corner.y) / side)
        left, up = _ASIDE * _unit(2 * across - 1), _UP * _unit(1 - 2 * down)
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        left, up = 0.0, 0.0
    if imgui.is_item_hovered(imgui.HoveredFlags_.delay_normal):
        imgui.set_tooltip("drag to where the eyes look, right click: straight ahead")
    draw, middle = imgui.get_window_draw_list(), imgui.ImVec2(corner.x + side / 2, corner.y + side / 2)
    frame, line = (imgui.get_color_u32(color) for color in (imgui.Col_.frame_bg, imgui.Col_.border))
    end = imgui.ImVec2(corner.x + side, corner.y + side)
    draw.add_rect_filled(corner, end, frame, 4)
    draw.add_line(imgui.ImVec2(corner.x, middle.y), imgui.ImVec2(end.x, middle.y), line)
    draw.add_line(imgui.ImVec2(middle.x, corner.y), imgui.ImVec2(middle.x, end.y), line)
    place = imgui.ImVec2(middle.x + side / 2 * left / _ASIDE, middle.y - side / 2 * up / _UP)
    draw.add_circle_filled(place, side / 16, imgui.get_color_u32(imgui.Col_.slider_grab_active))
    return left, up


def _unit(value: float) -> float:
    return min(max(value, -1.0), 1.0)
