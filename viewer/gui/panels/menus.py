"""The menu bar and the status bar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from viewer.session.edits import Change, Do, Edit
from viewer.session.state import State

_RED = imgui.ImVec4(1.0, 0.45, 0.35, 1.0)


def menus(state: State) -> Iterator[Edit]:
    """File and help."""
    if imgui.begin_menu("File"):
        if imgui.menu_item_simple("Open...", "O"):
            yield Do("choose file")
        if imgui.menu_item_simple("Save image", "P"):
            yield Do("snapshot")
        if imgui.menu_item(
            "Stop recording" if "record" in state.status.outlets else "Record", "R", "record" in state.status.outlets
        )[0]:
            yield Do("record")
        if imgui.menu_item("Virtual camera", "", "virtual camera" in state.status.outlets)[0]:
            yield Do("virtual camera")
        if imgui.menu_item_simple("Close", "Ctrl+Q"):
            yield Do("close")
        imgui.end_menu()
    if imgui.begin_menu("Help"):
        if imgui.menu_item_simple("Shortcuts", "?"):
            yield Change("panels", replace(state.panels, help=not state.panels.help))
        imgui.end_menu()


def status_bar(state: State) -> Iterator[Edit]:
    """Frame rates, size, latency, and the last message."""
    status = state.status
    width, height = status.size
    reduced = " while moving" if status.reduced else ""
    parts = [f"{status.render_fps:.0f} fps, window {status.window_fps:.0f} fps, {width}x{height}{reduced}"]
    if status.latency is not None and status.latency.total is not None:
        total = status.latency.total
        parts.append(f"{total.stage} {total.p50:.0f} ms (p95 {total.p95:.0f})")
    if status.training:
        parts.append(status.training)
    if "record" in status.outlets:
        imgui.text_colored(_RED, "REC")
        imgui.same_line(0, 12)
    imgui.text("   ".join(parts))
    if status.message:
        imgui.same_line(0, 24)
        color = _RED if status.failed else imgui.get_style_color_vec4(imgui.Col_.text)
        imgui.text_colored(color, status.message)
    yield from ()
