"""Progress of a fleet: the lines for each event, the table on a terminal, and the summary; nothing runs here."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console

from avatar.cli.fleet_display import FleetDisplay, summary
from avatar.cli.fleet_run import write_table
from avatar.cli.progress import choose_display
from avatar.fleet.jobs import Needs, Outcome
from avatar.fleet.rows import FleetSetup
from avatar.fleet.runner import Event, Runner
from avatar.fleet.scores import Table
from avatar.fleet.store import Store

OUTCOME = Outcome("train/anna", None, seconds=12.34, node="box")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    executor: Any = None  # never used: there are no rows
    return Runner([], Store(str(tmp_path)), executor)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event("start", "anna", "train/anna"), ""),
        (Event("tick", ""), ""),
        (Event("skipped", "anna", "train/anna"), ""),
        (Event("done", "anna", "train/anna", outcome=OUTCOME), "train/anna: done in 12.3 s on box\n"),
        (Event("retry", "anna", "train/anna", "it was killed"), "train/anna: runs again: it was killed\n"),
        (Event("failed", "anna", "train/anna", "no \x1b[31mface\n"), "anna: failed: no \\x1b[31mface\\n\n"),
    ],
)
def test_events_that_matter_are_one_printable_line(capsys: pytest.CaptureFixture[str], event: Event, line: str) -> None:
    with FleetDisplay("training", 2) as display:
        display.show(event)
    assert capsys.readouterr().err == line


def test_the_state_counts_rows_and_jobs(runner: Runner) -> None:
    display = FleetDisplay("training", 10)
    assert display._status(0.0) == "training"
    display.runner = runner
    for name in ("a", "b"):
        display.show(Event("start", name, f"train/{name}"))
    assert display._status(0.0) == "training: 0 of 10 rows, 2 jobs running or queued"
    display.show(Event("done", "a", "train/a", outcome=OUTCOME))
    runner.finished, runner.skipped, runner.failed = ["a"], ["x", "y"], {"z": "why"}
    state = "training: 3 of 10 rows, 1 failed, 1 job running or queued, about 0:00 left"
    assert display._status(display._start + 60.0) == state


@pytest.mark.parametrize("form", ["json", "quiet"])
def test_json_and_quiet_leave_only_what_went_wrong(
    runner: Runner, capsys: pytest.CaptureFixture[str], form: Literal["json", "quiet"]
) -> None:
    choose_display(form)
    try:
        with FleetDisplay("training", 2) as display:
            display.runner = runner
            display.show(Event("start", "a", "train/a"))
            display.show(Event("done", "a", "train/a", outcome=OUTCOME))
            display.show(Event("failed", "b", "train/b", "no face"))
    finally:
        choose_display("auto")
    objects = [line for line in capsys.readouterr().err.splitlines() if line != "b: failed: no face"]
    found = [json.loads(line) for line in objects]
    assert [each["fraction"] for each in found] == ([0.0, 1.0] if form == "json" else [])
    assert all(each["stage"] == "training" for each in found)


def test_a_terminal_shows_a_few_of_many_jobs(runner: Runner) -> None:
    display = FleetDisplay("rendering", 20)
    display.runner = runner
    for number in range(15):
        display.show(Event("start", "anna", f"pieces/anna/{number}"))
    console = Console(file=io.StringIO(), width=100)
    console.print(display._table(display._start + 5.0))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "rendering: 0 of 20 rows" in shown and "pieces/anna/11 " in shown and "pieces/anna/12" not in shown
    assert "and 3 more" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00"), (86399, "23:59:59")],
)
def test_the_summary_has_what_happened_and_how_long_it_took(runner: Runner, seconds: float, text: str) -> None:
    runner.finished = ["a"]
    assert summary(runner, seconds) == f"1 row done in {text}"
    runner.finished, runner.skipped, runner.failed = [], ["b", "c"], {"d": "why"}
    assert summary(runner, seconds) == f"0 rows done in {text}, 2 done before, 1 failed"


def test_a_table_is_stored_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = FleetSetup(str(tmp_path), Store(str(tmp_path)), Needs())
    write_table(Table(("name", "psnr"), ()), setup, "eval")
    assert not any(tmp_path.iterdir())
    table = Table(("name", "psnr"), (("anna", 27.54321),))
    write_table(table, setup, "eval")
    assert (tmp_path / "eval.csv").read_text() == "name,psnr\nanna,27.54321\n"
    assert (
        (tmp_path / "eval.md").read_text()
        == capsys.readouterr().out
        == "| name | psnr |\n| --- | --- |\n| anna | 27.54 |\n"
    )
