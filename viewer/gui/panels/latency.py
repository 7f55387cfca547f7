"""How long a live frame takes from the camera to the screen, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from imgui_bundle import imgui

from avatar.common.jsonable import counted
from avatar.common.latency import StageLatency
from viewer.session.edits import Edit
from viewer.session.state import State

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
    rates = {"input": found.get("rate"), "avatar": status.pictures_rate, "window": status.window_rate}
    _rates({name: float(rate) for name, rate in rates.items() if rate is not None})
    report = status.window
    if report is None or report.total is None:
        imgui.text_wrapped("latency: only a camera or a socket has one")
    else:
        _plot(status.totals, report.total)
        _table(report.total, report.stages)
    for name, words in _COUNTS.items():
        if found.get(name):
            imgui.text_wrapped(f"{found[name]} {words}")
    if status.stale:
        imgui.text_wrapped(f"{counted(status.stale, 'picture')} showed something old")
    yield from ()


def _rates(rates: dict[str, float]) -> None:
    if _begin("rates", ("frames/s", *rates)):
        imgui.table_next_column()
        for rate in rates.values():
            imgui.table_next_column()
            imgui.text(f"{rate:.1f}")
        imgui.end_table()


def _begin(name: str, columns: tuple[str, ...]) -> bool:
    """Begin a table whose first column takes what the others leave."""
    if not imgui.begin_table(name, len(columns), imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
        return False
    for place, title in enumerate(columns):
        imgui.table_setup_column(title, 0 if place else imgui.TableColumnFlags_.width_stretch)
    imgui.table_headers_row()
    imgui.table_next_row()
    return True


def _plot(totals: tuple[float, ...], total: StageLatency) -> None:
    """Of the newest frames, from 0 on."""
    top = max(max(totals, default=0.0), 1.0)
    size = imgui.ImVec2(imgui.get_content_region_avail().x, _PLOT * imgui.get_font_size())
    words = f"{totals[-1]:.0f} ms" if totals else None
    imgui.plot_lines("##totals", np.array(totals, np.float32), 0, words, 0.0, 1.1 * top, size)
    imgui.set_item_tooltip(f"{total.stage}: milliseconds of the last {len(totals)} pictures")


def _table(total: StageLatency, stages: tuple[StageLatency, ...]) -> None:
    """Milliseconds of the whole and of each stage."""
    if not _begin("stages", ("ms", "p50", "p95", "worst")):
        return
    for row in (total, *stages):
        imgui.table_next_column()
        imgui.text(_WORDS.get(row.stage, row.stage))
        for value in (row.p50, row.p95, row.worst):
            imgui.table_next_column()
            imgui.text(f"{value:.1f}" if value < 100 else f"{value:.0f}")
    imgui.end_table()
