"""The reading panel: what the face that drives shows, whatever drives it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imgui_bundle import imgui

from viewer.gui.panels.wings.action_units import names_width, unit_name
from viewer.gui.panels.wings.pad import READ, center_text, draw_pad
from viewer.session.edits import Edit
from viewer.session.state import FaceReading, State, UnitIntensity
from viewer.session.wings.action_units import sides_of, table

_LABEL_WIDTH = 5.5  # of the text before a bar, in heights of the font
_PAD_SIDE = 13.0
_SPACING = 2.0  # pixels between rows: emotions and what precedes them fit into the panel's initial height
#: Fills of bars, dark enough for the text on them.
_STRONG = imgui.ImVec4(0.60, 0.42, 0.12, 1.0)
_WEAK = imgui.ImVec4(0.42, 0.42, 0.42, 1.0)
_HEAD_TIP = "degrees from the mean pose: yaw to the left of the person, pitch up, roll to the right shoulder"
_GAZE_TIP = "degrees relative to the head: to the left of the person, up"


def reading_panel(state: State) -> Iterator[Edit]:
    """Emotions, gaze, lids, head and speech, valence and arousal, what counted, action units."""
    imgui.text_disabled("describes movements, not feelings")
    reading = state.reading
    if not reading.label:
        imgui.text_wrapped(reading.note or "reading ...")
        return
    if reading.learning:
        imgui.text_wrapped("learning the resting face: readings are rough")
    imgui.push_style_var(imgui.StyleVar_.item_spacing, imgui.ImVec2(imgui.get_style().item_spacing.x, _SPACING))
    _words(reading)
    imgui.separator_text(f"reads as {reading.label}")
    for name, probability in reading.distribution:
        _bar(name, probability, f"{100 * probability:.0f} %", _LABEL_WIDTH, name == reading.label)
    _reasons(reading)
    imgui.separator_text("valence and arousal")
    _plane(reading)
    imgui.separator_text("action units")
    if not reading.units:
        imgui.text_disabled("none above the threshold")
    for unit in reading.units:
        _unit(unit)
    imgui.pop_style_var()
    yield from ()


def _words(reading: FaceReading) -> None:
    rows = (
        ("gaze", reading.gaze, _GAZE_TIP),
        ("lids", reading.lids, ""),
        ("head", ", ".join(text for text in (reading.gesture, reading.head) if text), _HEAD_TIP),
    )
    for name, text, tip in rows:
        imgui.text(name)
        imgui.same_line(_LABEL_WIDTH * imgui.get_font_size())
        imgui.text(text)
        if tip:
            imgui.set_item_tooltip(tip)
    _bar("speech", reading.speech, f"{100 * reading.speech:.0f} %", _LABEL_WIDTH, reading.speech >= 0.5)
    imgui.set_item_tooltip("speech activity by the movement of the lips; it does not listen")


def _reasons(reading: FaceReading) -> None:
    """What each weight adds to the score of the leading label."""
    imgui.push_text_wrap_pos()
    imgui.text_disabled(f"{reading.label}, because of: {_reasons_text(reading.reasons)}")
    imgui.pop_text_wrap_pos()
    imgui.set_item_tooltip("what each expression weight adds to the score of the leading label")


def _reasons_text(reasons: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {weight:+.2f}" for name, weight in reasons) or "no weight"


def _plane(reading: FaceReading) -> None:
    width = imgui.get_content_region_avail().x
    side = min(width, _PAD_SIDE * imgui.get_font_size())
    center_text("high arousal", width)
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + (width - side) / 2)
    corner = imgui.get_cursor_screen_pos()
    imgui.dummy(imgui.ImVec2(side, side))
    valence, arousal = reading.affect
    imgui.set_item_tooltip(f"valence {valence:+.2f}, arousal {arousal:+.2f}")
    draw_pad(corner, side, reading.affect)
    center_text("low arousal", width)


def _unit(unit: UnitIntensity) -> None:
    """Bars of the right and the left side, with letters."""
    imgui.text(unit_name(unit))
    imgui.same_line(imgui.get_style().window_padding.x + names_width())
    gap = imgui.get_style().item_inner_spacing.x
    sides = sides_of(unit)
    width = (imgui.get_content_region_avail().x - gap * (len(sides) - 1)) / len(sides)
    for index, (prefix, _, value) in enumerate(sides):
        if index:
            imgui.same_line(0, gap)
        _progress(value, f"{prefix}{value:.2f} {table().letter(value)}".rstrip(), width, bool(table().letter(value)))


def _bar(name: str, value: float, text: str, label_width: float, strong: bool) -> None:
    if strong:
        imgui.text_colored(READ, name)
    else:
        imgui.text(name)
    imgui.same_line(label_width * imgui.get_font_size())
    _progress(value, text, -1, strong)


def _progress(value: float, text: str, width: float, strong: bool) -> None:
    imgui.push_style_color(imgui.Col_.plot_histogram, _STRONG if strong else _WEAK)
    imgui.progress_bar(value, imgui.ImVec2(width, imgui.get_text_line_height()), text)
    imgui.pop_style_color()
