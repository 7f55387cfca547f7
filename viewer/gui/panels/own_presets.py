"""The avatar's own presets, a section of the face panel: buttons that show them, and a field that saves the sliders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from avatar.motion.presets import MAX_NAME, FacePreset, preset_named
from viewer.gui.panels.widgets import button_lines
from viewer.session.edits import Change, Edit, RemovePreset, SavePreset, ShowPreset
from viewer.session.own_presets import sliders_of
from viewer.session.state import State

_UNITS = "as units"  # the button that saves action units
#: Keys of the keyboard by number; those of the keypad do the same.
_DIGITS = (imgui.Key._0, imgui.Key.keypad0)


def own_presets(state: State) -> Iterator[Edit]:
    """Buttons of the presets, as many per line as fit, and the field that saves or removes one."""
    shown = [
        button_label(preset)
        for preset in state.presets
        if sliders_of(preset, state.sliders, state.avatar.expressions)[0] == state.sliders
    ]
    clicked = button_lines([button_label(preset) for preset in state.presets], shown)
    if clicked is not None:
        yield ShowPreset(state.presets[clicked])
    yield from _name_field(state)


def button_label(preset: FacePreset) -> str:
    """The text of a button: the name of a preset after its key."""
    # In imgui a text after ## is not shown.
    name = preset.name.replace("##", "# #")
    return f"{'' if preset.key is None else f'{preset.key}: '}{name}###preset {preset.name.lower()}"


def _name_field(state: State) -> Iterator[Edit]:
    """A name, and buttons that save the sliders by it or remove the preset of it."""
    panels = state.panels
    existing = preset_named(state.presets, panels.preset_name)
    words = ["replace", "remove"] if existing else ["save"]
    if state.sliders.weights:
        words.append(_UNITS)
    style = imgui.get_style()
    widths = [imgui.calc_text_size(word).x + 2 * style.frame_padding.x + style.item_inner_spacing.x for word in words]
    imgui.set_next_item_width(-sum(widths))
    _, name = imgui.input_text_with_hint("##preset name", "save this face as ...", panels.preset_name)
    if name != panels.preset_name:
        yield Change("panels", replace(panels, preset_name=name[:MAX_NAME]))
    for word in words:
        imgui.same_line(0, style.item_inner_spacing.x)
        imgui.begin_disabled(not panels.preset_name.strip())
        if imgui.button(f"{word}##preset"):
            if existing and word == "remove":
                yield RemovePreset(existing.name)
            else:
                yield SavePreset(panels.preset_name, as_units=word == _UNITS)
        if word == _UNITS:
            imgui.set_item_tooltip("save the action units of this face, which keep their intensity and side")
        imgui.end_disabled()


def preset_keys(state: State) -> Iterator[Edit]:
    """Edits of the keys of presets that are pressed."""
    for preset in state.presets:
        if preset.key is not None and any(imgui.is_key_chord_pressed(digit + preset.key) for digit in _DIGITS):
            yield ShowPreset(preset)
