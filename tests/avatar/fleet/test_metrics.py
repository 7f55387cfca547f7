"""Metrics of a fleet as JSON lines, also after a kill, and the table of what failed."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest

from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Outcome
from avatar.fleet.metrics import MetricsFile, failure_table
from avatar.fleet.runner import Event
from tests.support.fleet import read_metrics

OUTCOME = Outcome("train/anna", None, seconds=1.23456, cpu_seconds=2.0004, memory=5, node="box", log="last lines")


def without_time(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "time"} for entry in read_metrics(path)]


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "fleet.jsonl"
    before = time.time()
    with MetricsFile(path) as file:
        file.write(Event("start", "\u00e9milie", "train/anna"))
        file.write(Event("done", "anna", "train/anna", outcome=OUTCOME))
        file.write(Event("failed", "anna", "train/anna", "why\nnot", OUTCOME))
    used = {"seconds": 1.235, "cpu_seconds": 2.0, "memory": 5, "node": "box"}
    assert without_time(path) == [
        {"event": "start", "row": "\u00e9milie", "job": "train/anna"},
        {"event": "done", "row": "anna", "job": "train/anna", **used},
        {"event": "failed", "row": "anna", "job": "train/anna", "reason": "why\nnot", **used, "log": "last lines"},
    ]
    assert all(before - 1 < entry["time"] < time.time() + 1 for entry in read_metrics(path))


def test_an_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fleet.jsonl"
    with MetricsFile(path) as file:
        file.write(Event("row", "anna"))
        assert without_time(path) == [{"event": "row", "row": "anna"}]


def test_a_second_run_appends_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "fleet.jsonl"
    with MetricsFile(path) as file:
        file.write(Event("row", "anna"))
        file.write(Event("row", "ben"))
    path.write_bytes(path.read_bytes()[:-5])  # killed while it wrote
    for name in ("carl", "dora"):
        with MetricsFile(path) as file:
            file.write(Event("row", name))
    assert [entry["row"] for entry in read_metrics(path)] == ["anna", "carl", "dora"]
    assert path.read_bytes().endswith(b"\n") and b"\n\n" not in path.read_bytes()


def test_a_place_that_cannot_be_written_gives_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=f"^{tmp_path}: .*; "):
        MetricsFile(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"fleet\.jsonl: .*; choose another place with -o"):
        MetricsFile(tmp_path / "file" / "fleet.jsonl")


def test_a_full_disk_gives_a_sentence() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with MetricsFile(Path("/dev/full")) as file, pytest.raises(HeadsplatError, match=r"^/dev/full: the disk is full"):
        file.write(Event("row", "anna"))


def test_the_table_of_failures_is_csv_by_name() -> None:
    failed = {"ben": 'a, "b"\nc', "anna": "\x1b[31mred\x00", "carl": ""}
    rows = list(csv.reader(io.StringIO(failure_table(failed))))
    assert rows == [["name", "reason"], ["anna", "\\x1b[31mred\\x00"], ["ben", 'a, "b"\nc'], ["carl", ""]]
    failure_table({"anna": "\ud800"}).encode()


def test_the_table_without_failures_is_its_header() -> None:
    assert failure_table({}) == "name,reason\n"
