"""Widgets that several panels use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from imgui_bundle import imgui

from viewer.session.edits import Edit, SelectSource
from viewer.session.state import State

#: Colors of sliders that are not at 0, RGBA.
_MOVED_TEXT = imgui.ImVec4(1.0, 0.80, 0.42, 1.0)
_MOVED_FRAME = imgui.ImVec4(0.42, 0.30, 0.10, 1.0)
_MOVED_GRAB = imgui.ImVec4(1.0, 0.70, 0.20, 1.0)
_WARNING = imgui.ImVec4(1.0, 0.72, 0.35, 1.0)


def slider(name: str, value: float, low: float, high: float, form: str, width: float) -> float:
    """A slider without a label: right click sets it to 0, ctrl+click enters a number.

    Args:
        name: for its tooltip and its identity in the panel.
        value: before the input.
        low: smallest value.
        high: largest value.
        form: of the number on it, as for printf.
        width: pixels.

    Returns:
        The value after the input.
    """
    is_moved = value != 0
    if is_moved:
        imgui.push_style_color(imgui.Col_.frame_bg, _MOVED_FRAME)
        imgui.push_style_color(imgui.Col_.slider_grab, _MOVED_GRAB)
    imgui.set_next_item_width(width)
    changed, moved = imgui.slider_float(f"##{name}", value, low, high, form, imgui.SliderFlags_.always_clamp)
    if is_moved:
        imgui.pop_style_color(2)
    if imgui.is_item_hovered(imgui.HoveredFlags_.delay_normal):
        imgui.set_tooltip(f"{name}\nright click: 0, ctrl+click: type a number")
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        return 0.0
    return moved if changed else value


def label(text: str, is_moved: bool, width: float) -> None:
    """Text before a slider, `width` pixels wide; the next widget is on the same line."""
    start = imgui.get_cursor_pos_x()
    imgui.align_text_to_frame_padding()
    if is_moved:
        imgui.text_colored(_MOVED_TEXT, text)
    else:
        imgui.text(text)
    imgui.same_line(start + width)


def select_button(state: State, key: str, text: str) -> Iterator[Edit]:
    """Where another source than `key` is active: a button that selects `key`, and the active source's name."""
    if state.source == key or key not in [choice.key for choice in state.sources]:
        return
    active = next((choice.label for choice in state.sources if choice.key == state.source), state.source)
    if imgui.button(text):
        yield SelectSource(key)
    imgui.same_line()
    imgui.push_text_wrap_pos()
    imgui.text_colored(_WARNING, f"driven by {active}")
    imgui.pop_text_wrap_pos()


def button_lines(labels: Sequence[str], current: Collection[str]) -> int | None:
    """A button for each label, as many per line as fit; returns the place of the one that is clicked, if any.

    Args:
        labels: of the buttons; what follows ## is not shown.
        current: labels that are highlighted.
    """
    right = imgui.get_cursor_screen_pos().x + imgui.get_content_region_avail().x
    style = imgui.get_style()
    clicked = None
    for place, label_text in enumerate(labels):
        width = imgui.calc_text_size(label_text.split("##")[0]).x + 2 * style.frame_padding.x
        if place and imgui.get_item_rect_max().x + style.item_spacing.x + width < right:
            imgui.same_line()
        if label_text in current:
            imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(imgui.Col_.button_active))
        if imgui.button(label_text):
            clicked = place
        if label_text in current:
            imgui.pop_style_color()
    return clicked
