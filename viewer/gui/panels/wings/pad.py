"""The valence-arousal plane with the places of the emotions, a part of the face and the reading panel."""

from __future__ import annotations

from collections.abc import Sequence

from imgui_bundle import imgui

from viewer.session.wings.action_units import on_pad, places

#: Colors of the reading and of the point that was set, RGBA.
READ = imgui.ImVec4(1.0, 0.70, 0.20, 1.0)
SET = imgui.ImVec4(0.9, 0.9, 0.9, 1.0)
_EDGE = 0.95  # of the pad's half side, at which points outside are drawn
_STEP = 0.05  # of valence or arousal, for an arrow key
_KEYS = (
    (imgui.Key.left_arrow, -_STEP, 0.0),
    (imgui.Key.right_arrow, _STEP, 0.0),
    (imgui.Key.up_arrow, 0.0, _STEP),
    (imgui.Key.down_arrow, 0.0, -_STEP),
)
Point = tuple[float, float]


def pad(point: Point, side: float) -> Point:
    """The point after input: a drag, arrow keys while the pad has the focus, a double click for neutral."""
    corner = imgui.get_cursor_screen_pos()
    imgui.invisible_button("affect", imgui.ImVec2(side, side))
    valence, arousal = point
    if imgui.is_item_hovered() and imgui.is_mouse_double_clicked(imgui.MouseButton_.left):
        return 0.0, 0.0
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        return 0.0, 0.0
    if imgui.is_item_active() and (imgui.is_mouse_dragging(imgui.MouseButton_.left) or imgui.is_item_clicked()):
        mouse = imgui.get_mouse_pos()
        return on_pad(2 * (mouse.x - corner.x) / side - 1, 1 - 2 * (mouse.y - corner.y) / side)
    if imgui.is_item_focused():
        for key, right, up in _KEYS:
            if imgui.is_key_pressed(key):
                valence, arousal = on_pad(valence + right, arousal + up)
    if imgui.is_item_hovered(imgui.HoveredFlags_.delay_normal):
        imgui.set_tooltip("drag to set the face, then arrow keys; double click: neutral")
    return valence, arousal


def draw_pad(corner: imgui.ImVec2, side: float, read: Point | None, chosen: Point | None = None) -> None:
    """Axes, and the names of the emotions at their places.

    Args:
        corner: upper left one, pixels of the screen.
        side: pixels.
        read: the point that the face reads as, a dot; None: without.
        chosen: the point that was set, a ring; None: without.
    """
    draw = imgui.get_window_draw_list()
    end = imgui.ImVec2(corner.x + side, corner.y + side)
    middle = _at(corner, side, (0.0, 0.0))
    frame, line, text = (
        imgui.get_color_u32(color) for color in (imgui.Col_.frame_bg, imgui.Col_.border, imgui.Col_.text)
    )
    faint = imgui.get_color_u32(imgui.Col_.text_disabled)
    draw.add_rect_filled(corner, end, frame, 4)
    draw.add_circle(middle, side / 2, line, 64)
    draw.add_line(imgui.ImVec2(corner.x, middle.y), imgui.ImVec2(end.x, middle.y), line)
    draw.add_line(imgui.ImVec2(middle.x, corner.y), imgui.ImVec2(middle.x, end.y), line)
    for name, valence, arousal in places():
        place = _at(corner, side, (valence, arousal))
        draw.add_circle_filled(place, 2, faint)
        draw.add_text(_beside(place, name, corner, end), text, name)
    low = middle.y + 2
    draw.add_text(imgui.ImVec2(corner.x + 3, low), faint, "unpleasant")
    draw.add_text(imgui.ImVec2(end.x - imgui.calc_text_size("pleasant").x - 3, low), faint, "pleasant")
    if chosen is not None:
        draw.add_circle(_at(corner, side, chosen), 7, imgui.get_color_u32(SET), 0, 2)
    if read is not None:
        draw.add_circle_filled(_at(corner, side, read), 5, imgui.get_color_u32(READ))


def center_text(text: str, width: float) -> None:
    """Faint text in the middle of `width` pixels."""
    start = imgui.get_cursor_pos_x()
    imgui.set_cursor_pos_x(start + max(0.0, (width - imgui.calc_text_size(text).x) / 2))
    imgui.text_disabled(text)


def _at(corner: imgui.ImVec2, side: float, point: Sequence[float]) -> imgui.ImVec2:
    """A place in the pad, where a dot is still inside."""
    point = [min(max(value, -_EDGE), _EDGE) for value in point]
    return imgui.ImVec2(corner.x + side * (1 + point[0]) / 2, corner.y + side * (1 - point[1]) / 2)


def _beside(place: imgui.ImVec2, name: str, corner: imgui.ImVec2, end: imgui.ImVec2) -> imgui.ImVec2:
    """The upper left corner of a name beside its place, within the pad."""
    size = imgui.calc_text_size(name)
    left = place.x + 5 if place.x + 5 + size.x < end.x else place.x - 5 - size.x
    return imgui.ImVec2(max(left, corner.x + 2), min(max(place.y - size.y / 2, corner.y), end.y - size.y))
