"""The source panel: selection of the pose source, calibration, gains."""

from __future__ import annotations

from collections.abc import Iterator

from imgui_bundle import imgui

from viewer.session.edits import Do, Edit, SelectSource, SetGain
from viewer.session.state import SLIDERS, TIMELINE, State

_AMBER = imgui.ImVec4(1.0, 0.75, 0.3, 1.0)


def source_panel(state: State) -> Iterator[Edit]:
    """The selection, and the controls of a live source."""
    imgui.text("driven by")
    for choice in state.sources:
        if imgui.radio_button(choice.label, state.source == choice.key) and state.source != choice.key:
            yield SelectSource(choice.key)
    if state.source not in (SLIDERS, TIMELINE):
        yield from _live(state)


def _live(state: State) -> Iterator[Edit]:
    status = state.status
    imgui.separator_text(status.phase or "starting")
    calibrated = float(status.live.get("calibrated", 0.0))
    if calibrated < 1:
        imgui.progress_bar(calibrated, imgui.ImVec2(-1, 0), "resting face")
    source = status.live.get("input", {})
    for note in (status.live.get("calibration", {}).get("note"), source.get("unused"), source.get("hidden")):
        if not note:
            continue
        imgui.push_text_wrap_pos(0)
        imgui.text_colored(_AMBER, str(note))
        imgui.pop_text_wrap_pos()
    if imgui.button("calibrate (C)"):
        yield Do("calibrate")
    imgui.same_line()
    if imgui.button("another person"):
        yield Do("learn person")
    for name in ("rate", "received", "dropped", "malformed"):
        if name in source:
            imgui.text(f"{name} {source[name]:.0f}")
    if ended := source.get("ended"):
        imgui.text_wrapped(ended)
        if imgui.button("start again"):
            yield Do("restart source")
    if status.gains:
        imgui.separator_text("gain")
    for group, factor in status.gains.items():
        changed, value = imgui.slider_float(group, factor, 0, 2, "%.2f")
        if changed:
            yield SetGain(group, value)
