"""The page measures itself, and the benchmark prints it."""

from __future__ import annotations

from pathlib import Path

from avatar.model.avatar import Avatar
from tests.bench.bench_web import best_of, measured, row
from tests.support.browser import Page
from viewer.web.page import build_page


def test_the_page_measures_frames_that_move(shown: Page, layered: Avatar) -> None:
    shown.run("globalThis.seen = new Set(); globalThis.before = app.player.onframe")
    pixels = "frame.bands.map(({ bytes }) => bytes.join()).join()"
    shown.run(f"app.player.onframe = (frame) => {{ seen.add({pixels}); before(frame); }}")
    figures = shown.run("app.benchmark(64, 5)")
    assert figures["firstFrame"] > 0 and figures["fps"] > 0
    assert 0 <= figures["pose"] < 1000 / figures["fps"] and 0 <= figures["sort"] < 1000 / figures["fps"]
    assert figures["gaussians"] == len(layered)
    shown.run("app.player.onframe = before")
    assert shown.run("seen.size") >= 5


def test_a_page_is_measured_in_a_browser_of_its_own(page: Page, container: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tiny.html"
    path.write_text(build_page(container, "tiny"), encoding="utf-8")
    figures = measured(path, 64, 3)
    assert set(figures) == {"firstFrame", "fps", "pose", "sort", "gaussians"}


def test_the_best_round_counts_and_is_a_row() -> None:
    slow = {"firstFrame": 900.0, "fps": 5.0, "pose": 9.0, "sort": 3.0, "gaussians": 15000}
    fast = {"firstFrame": 950.0, "fps": 9.0, "pose": 4.0, "sort": 3.5, "gaussians": 15000}
    best = best_of([slow, fast])
    assert best == {"firstFrame": 900.0, "fps": 9.0, "pose": 4.0, "sort": 3.0, "gaussians": 15000}
    assert row("me", 512, 3_700_000, best) == "| me | 512x512 | 15000 | 3.7 | 900 | 9.0 | 4.0 | 3.0 |"
