"""How long a live frame takes from the camera to the screen, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from imgui_bundle import imgui

from avatar.latency import StageLatency
from viewer.edits import Edit
from viewer.state import State

#: Stamps of a frame, and the words for what was done since the one before.
_WORDS = {
    "taken": "waits for the tracker",
    "decoded": "packet is read",
    "landmarks": "landmarks are found",
    "fit": "face is fitted",
    "picked up": "waits for the window",
    "smoothed": "smoothed",
    "parameters": "carried to the avatar",
    "drawn": "drawn",
    "shown": "shown",
}
#: Counts of the input, and the words for them.
_COUNTS = {
    "received": "received",
    "dropped": "passed over, as newer ones came",
    "malformed": "malformed",
    "without_face": "without a face",
}
_PLOT = 3.5  # heights of the font


def latency_panel(state: State) -> Iterator[Edit]:
    """Rates, the way of a frame, and what was passed over."""
    status = state.status
    found: Any = status.source.get("input", {})
    if "rate" in found:
        _rate("input", float(found["rate"]))
    _rate("avatar", status.pictures_rate)
    _rate("window", status.window_rate)
    report = status.window
    if report is None or report.total is None:
        imgui.text_wrapped("latency: only a camera or a socket has one")
    else:
        _plot(status.totals, report.total)
        _table((*report.stages, report.total))
    for name, words in _COUNTS.items():
        if found.get(name):
            imgui.text_wrapped(f"{found[name]} {words}")
    if status.stale:
        imgui.text_wrapped(f"{status.stale} pictures showed something old")
    yield from ()


def _rate(words: str, rate: float) -> None:
    imgui.text(words)
    imgui.same_line(5 * imgui.get_font_size())
    imgui.text(f"{rate:5.1f} frames/s")


def _plot(totals: tuple[float, ...], total: StageLatency) -> None:
    """Of the newest frames, from 0 on."""
    top = max(max(totals, default=0.0), 1.0)
    size = imgui.ImVec2(imgui.get_content_region_avail().x, _PLOT * imgui.get_font_size())
    words = f"{totals[-1]:.0f} ms" if totals else None
    imgui.plot_lines("##totals", np.array(totals, np.float32), 0, words, 0.0, 1.1 * top, size)
    imgui.set_item_tooltip(f"{total.stage}: milliseconds of the last {len(totals)} pictures")


def _table(rows: tuple[StageLatency, ...]) -> None:
    """Milliseconds of each, the sum last."""
    flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit
    if not imgui.begin_table("stages", 4, flags):
        return
    imgui.table_setup_column("ms", imgui.TableColumnFlags_.width_stretch)
    for name in ("half", "95%", "worst"):
        imgui.table_setup_column(name)
    imgui.table_headers_row()
    for row in rows:
        imgui.table_next_row()
        imgui.table_next_column()
        imgui.text(_WORDS.get(row.stage, row.stage))
        for value in (row.p50, row.p95, row.worst):
            imgui.table_next_column()
            imgui.text(f"{value:.1f}" if value < 100 else f"{value:.0f}")
    imgui.end_table()
