"""The latency panel: frame rates, and a live frame's time from the camera to the screen by stage."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from imgui_bundle import imgui

from avatar.common.jsonable import counted
from avatar.common.latency import StageLatency
from viewer.session.edits import Edit
from viewer.session.state import State

#: Stamps of a frame, and descriptions of the stage that ends with it.
_STAGES = {
    "taken": "wait for the tracker",
    "decoded": "packet decoding",
    "landmarks": "landmarks",
    "fit": "face fit",
    "picked up": "wait for the window",
    "smoothed": "smoothing",
    "parameters": "retargeting",
    "drawn": "rendering",
    "shown": "display",
}
#: Counters of the source, and their descriptions.
_COUNTERS = {
    "received": "received",
    "dropped": "dropped for newer ones",
    "malformed": "malformed",
    "without_face": "without a face",
}
_PLOT_HEIGHT = 3.5  # heights of the font


def latency_panel(state: State) -> Iterator[Edit]:
    """Frame rates, latency by stage, and counters of the source."""
    status = state.status
    source = status.live.get("input", {})
    rates = {"source": source.get("rate"), "avatar": status.render_fps, "window": status.window_fps}
    _rates({name: float(rate) for name, rate in rates.items() if rate is not None})
    report = status.latency
    if report is None or report.total is None:
        imgui.text_wrapped("latency: measured for live sources only")
    else:
        _plot(status.totals, report.total)
        _table(report.total, report.stages)
    for name, description in _COUNTERS.items():
        if count := source.get(name):
            imgui.text_wrapped(f"{count} {description}")
    if status.stale:
        imgui.text_wrapped(f"{counted(status.stale, 'image')} with an old sample")
    yield from ()


def _rates(rates: dict[str, float]) -> None:
    if _begin("rates", ("fps", *rates)):
        imgui.table_next_column()
        for rate in rates.values():
            imgui.table_next_column()
            imgui.text(f"{rate:.1f}")
        imgui.end_table()


def _begin(name: str, columns: tuple[str, ...]) -> bool:
    """Begin a table whose first column takes the remaining width."""
    if not imgui.begin_table(name, len(columns), imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
        return False
    for index, title in enumerate(columns):
        imgui.table_setup_column(title, 0 if index else imgui.TableColumnFlags_.width_stretch)
    imgui.table_headers_row()
    imgui.table_next_row()
    return True


def _plot(totals: tuple[float, ...], total: StageLatency) -> None:
    """Total latency of the newest frames, from 0 on."""
    top = max(max(totals, default=0.0), 1.0)
    size = imgui.ImVec2(imgui.get_content_region_avail().x, _PLOT_HEIGHT * imgui.get_font_size())
    overlay = f"{totals[-1]:.0f} ms" if totals else None
    imgui.plot_lines("##totals", np.array(totals, np.float32), 0, overlay, 0.0, 1.1 * top, size)
    imgui.set_item_tooltip(f"{total.stage}: milliseconds of the last {len(totals)} images")


def _table(total: StageLatency, stages: tuple[StageLatency, ...]) -> None:
    """Milliseconds in total and by stage."""
    if not _begin("stages", ("ms", "p50", "p95", "worst")):
        return
    for row in (total, *stages):
        imgui.table_next_column()
        imgui.text(_STAGES.get(row.stage, row.stage))
        for value in (row.p50, row.p95, row.worst):
            imgui.table_next_column()
            imgui.text(f"{value:.1f}" if value < 100 else f"{value:.0f}")
    imgui.end_table()
