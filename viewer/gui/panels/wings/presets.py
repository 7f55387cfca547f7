"""Buttons of faces by name, a section of the face panel."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from avatar.performance.mixing.presets import PRESETS
from viewer.session.state import Sliders


def preset_buttons(sliders: Sliders) -> Sliders:
    """A button for each preset, as many per line as fit; the current one is highlighted."""
    right = imgui.get_cursor_screen_pos().x + imgui.get_content_region_avail().x
    style = imgui.get_style()
    for index, preset in enumerate(PRESETS):
        width = imgui.calc_text_size(preset.name).x + 2 * style.frame_padding.x
        if index and imgui.get_item_rect_max().x + style.item_spacing.x + width < right:
            imgui.same_line()
        is_set = dict(sliders.weights) == preset.weights
        if is_set:
            imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(imgui.Col_.button_active))
        clicked = imgui.button(preset.name)
        if is_set:
            imgui.pop_style_color()
        if clicked:
            sliders = replace(sliders, weights=preset.weights)
    return sliders
