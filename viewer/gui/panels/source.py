"""Who drives, and how well: one selector, calibration, gains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imgui_bundle import imgui

from viewer.session.edits import Change, Do, Edit
from viewer.session.state import SLIDERS, TIMELINE, State

_AMBER = imgui.ImVec4(1.0, 0.75, 0.3, 1.0)


def source_panel(state: State) -> Iterator[Edit]:
    """The selector and what belongs to the one chosen."""
    imgui.text("driven by")
    for choice in state.choices:
        if imgui.radio_button(choice.label, state.driving == choice.key) and state.driving != choice.key:
            yield Change("driving", choice.key)
    if state.driving not in (SLIDERS, TIMELINE):
        yield from _live(state)


def _live(state: State) -> Iterator[Edit]:
    status = state.status
    imgui.separator_text(status.phase or "starting")
    calibrated = float(status.source.get("calibrated", 0.0))
    if calibrated < 1:
        imgui.progress_bar(calibrated, imgui.ImVec2(-1, 0), "resting face")
    if note := status.source.get("calibration", {}).get("note"):
        imgui.push_text_wrap_pos(0)
        imgui.text_colored(_AMBER, str(note))
        imgui.pop_text_wrap_pos()
    if imgui.button("calibrate (C)"):
        yield Do("calibrate")
    imgui.same_line()
    if imgui.button("another person"):
        yield Do("learn")
    found: Any = status.source.get("input", {})
    for name in ("rate", "received", "dropped", "malformed"):
        if name in found:
            imgui.text(f"{name} {found[name]:.0f}")
    if found.get("ended"):
        imgui.text_wrapped(str(found["ended"]))
        if imgui.button("start again"):
            yield Do("again")
    if status.gains:
        imgui.separator_text("gain")
    for group, factor in status.gains.items():
        changed, value = imgui.slider_float(group, factor, 0, 2, "%.2f")
        if changed:
            yield Do("gain", (group, value))
