"""Faces by a text or a point of the valence-arousal plane, a part of the face panel."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from avatar.errors import HeadsplatError
from viewer.gui.panels.widgets import label, slider
from viewer.gui.panels.wings.pad import center_text, draw_pad, pad
from viewer.session.state import Phrase, Sliders
from viewer.session.wings.action_units import affect_of, face_at, face_described, on_pad

_LABEL_WIDTH = 4.5  # of the text before a slider, in heights of the font
_SIDE = 15.0  # of the pad at most, in heights of the font
_FAILED = imgui.ImVec4(1.0, 0.45, 0.35, 1.0)


def phrase_field(phrase: Phrase, sliders: Sliders) -> tuple[Phrase, Sliders]:
    """The field for a text, what was understood of it, and the sliders after Enter."""
    imgui.set_next_item_width(-1)
    hint = "describe a face, such as slightly surprised"
    flags = imgui.InputTextFlags_.enter_returns_true
    entered, text = imgui.input_text_with_hint("##describe", hint, phrase.text, flags)
    if entered:
        phrase, sliders = describe(text, sliders)
    elif text != phrase.text:
        phrase = replace(phrase, text=text)
    if phrase.note:
        imgui.push_text_wrap_pos()
        if phrase.failed:
            imgui.text_colored(_FAILED, phrase.note)
        else:
            imgui.text_disabled(phrase.note)
        imgui.pop_text_wrap_pos()
    return phrase, sliders


def describe(text: str, sliders: Sliders) -> tuple[Phrase, Sliders]:
    """The sliders with the face that `text` describes; where it is not understood, the error and the same sliders."""
    try:
        weights, understood = face_described(text)
    except HeadsplatError as error:
        return Phrase(text, str(error), failed=True), sliders
    return Phrase(text, f"understood: {', '.join(understood)}"), replace(sliders, weights=weights)


def affect_pad(sliders: Sliders) -> Sliders:
    """The pad, and sliders of its two numbers; the ring is the point set by them, the dot what the face reads as."""
    read = affect_of(sliders.weights)
    chosen = sliders.affect
    if chosen is not None and dict(face_at(*chosen)) != dict(sliders.weights):
        chosen = None  # the face was changed by other sliders since then
    before = on_pad(*read) if chosen is None else chosen
    width = imgui.get_content_region_avail().x
    side = min(width, _SIDE * imgui.get_font_size())
    indent = (width - side) / 2
    center_text("high arousal", width)
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + indent)
    corner = imgui.get_cursor_screen_pos()
    after = pad(before, side)
    draw_pad(corner, side, read, chosen)
    center_text("low arousal", width)
    after = _row("valence", after[0]), _row("arousal", after[1])
    if after == before:
        return sliders
    point = on_pad(*after)
    return replace(sliders, weights=face_at(*point), affect=point)


def _row(name: str, value: float) -> float:
    label(name, value != 0, _LABEL_WIDTH * imgui.get_font_size())
    return slider(name, value, -1.0, 1.0, "%.2f", imgui.get_content_region_avail().x)
