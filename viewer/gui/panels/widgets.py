"""Pieces that several panels are made of."""

from __future__ import annotations

from collections.abc import Iterator

from imgui_bundle import imgui

from viewer.session.edits import Change, Edit
from viewer.session.state import State

#: Of sliders that stand at rest, and of those that do not; RGBA.
_MOVED_TEXT, _MOVED_FRAME, _MOVED_GRAB = (
    imgui.ImVec4(1.0, 0.80, 0.42, 1.0),
    imgui.ImVec4(0.42, 0.30, 0.10, 1.0),
    imgui.ImVec4(1.0, 0.70, 0.20, 1.0),
)
_WARNING = imgui.ImVec4(1.0, 0.72, 0.35, 1.0)


def slider(name: str, value: float, low: float, high: float, form: str, width: float) -> float:
    """A slider without a label, `width` pixels wide: right click sets it to 0, ctrl+click takes a number."""
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


def label(words: str, is_moved: bool, width: float) -> None:
    """Words before a slider, `width` pixels for them, what comes next is on the same line."""
    start = imgui.get_cursor_pos_x()
    imgui.align_text_to_frame_padding()
    if is_moved:
        imgui.text_colored(_MOVED_TEXT, words)
    else:
        imgui.text(words)
    imgui.same_line(start + width)


def who_drives(state: State, key: str, offer: str) -> Iterator[Edit]:
    """Where another than `key` drives: who it is, and one button, `offer`, that changes it."""
    if state.driving == key or key not in [choice.key for choice in state.choices]:
        return
    driver = next((choice.label for choice in state.choices if choice.key == state.driving), state.driving)
    if imgui.button(offer):
        yield Change("driving", key)
    imgui.same_line()
    imgui.push_text_wrap_pos()
    imgui.text_colored(_WARNING, f"driven by {driver}")
    imgui.pop_text_wrap_pos()
