"""Sliders of head, gaze and jaw, a part of the face panel."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.widgets import label, slider
from viewer.session.state import Sliders

#: Degrees, in both directions.
_HEAD = (("yaw", 45.0), ("pitch", 30.0), ("roll", 30.0))
_MAX_SIDE = 30.0
_MAX_UP = 25.0
_MAX_JAW_OPEN = 15.0
_MAX_JAW_SIDE = 8.0
_DEGREES = "%.0f deg"
_LABEL_WIDTH = 4.5  # of the text before a slider, in heights of the font
_SQUARE_ROWS = 3  # height of the square for the gaze, in rows of sliders


def pose_sliders(sliders: Sliders) -> Sliders:
    """Sliders for head and jaw, and a square for the gaze."""
    yaw, pitch, roll = (
        _row(name, value, -limit, limit) for (name, limit), value in zip(_HEAD, sliders.head, strict=True)
    )
    gaze = _gaze(sliders.gaze)
    down, left = sliders.jaw
    jaw = _row("jaw open", down, 0, _MAX_JAW_OPEN), _row("jaw left", left, -_MAX_JAW_SIDE, _MAX_JAW_SIDE)
    return replace(sliders, head=(yaw, pitch, roll), gaze=gaze, jaw=jaw)


def _row(name: str, value: float, low: float, high: float) -> float:
    label(name, value != 0, _LABEL_WIDTH * imgui.get_font_size())
    return slider(name, value, low, high, _DEGREES, imgui.get_content_region_avail().x)


def _gaze(gaze: tuple[float, float]) -> tuple[float, float]:
    """Degrees to the person's left, which is the image's right, and up."""
    side = _SQUARE_ROWS * imgui.get_frame_height_with_spacing() - imgui.get_style().item_spacing.y
    start = imgui.get_cursor_pos_x()
    left, up = _square(gaze, side)
    imgui.same_line(start + max(side, _LABEL_WIDTH * imgui.get_font_size()) + imgui.get_style().item_spacing.x)
    imgui.begin_group()
    imgui.text("gaze")
    width = imgui.get_content_region_avail().x
    left = slider("gaze left", left, -_MAX_SIDE, _MAX_SIDE, f"left {_DEGREES}", width)
    up = slider("gaze up", up, -_MAX_UP, _MAX_UP, f"up {_DEGREES}", width)
    imgui.end_group()
    return left, up


def _square(gaze: tuple[float, float], side: float) -> tuple[float, float]:
    """The gaze after mouse input in a square, `side` pixels wide."""
    corner = imgui.get_cursor_screen_pos()
    imgui.invisible_button("gaze", imgui.ImVec2(side, side))
    left, up = gaze
    if imgui.is_item_active():
        mouse = imgui.get_mouse_pos()
        across = (mouse.x - corner.x) / side
        down = (mouse.y - corner.y) / side
        left = _MAX_SIDE * _clamp(2 * across - 1)
        up = _MAX_UP * _clamp(1 - 2 * down)
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        left = 0.0
        up = 0.0
    if imgui.is_item_hovered(imgui.HoveredFlags_.delay_normal):
        imgui.set_tooltip("drag to set the gaze, right click: straight ahead")
    draw = imgui.get_window_draw_list()
    center = imgui.ImVec2(corner.x + side / 2, corner.y + side / 2)
    frame, line = (imgui.get_color_u32(color) for color in (imgui.Col_.frame_bg, imgui.Col_.border))
    end = imgui.ImVec2(corner.x + side, corner.y + side)
    draw.add_rect_filled(corner, end, frame, 4)
    draw.add_line(imgui.ImVec2(corner.x, center.y), imgui.ImVec2(end.x, center.y), line)
    draw.add_line(imgui.ImVec2(center.x, corner.y), imgui.ImVec2(center.x, end.y), line)
    point = imgui.ImVec2(center.x + side / 2 * left / _MAX_SIDE, center.y - side / 2 * up / _MAX_UP)
    draw.add_circle_filled(point, side / 16, imgui.get_color_u32(imgui.Col_.slider_grab_active))
    return left, up


def _clamp(value: float) -> float:
    return min(max(value, -1.0), 1.0)
