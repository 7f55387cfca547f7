"""Tables of evaluations: figures that are found, their means, and CSV and Markdown that say the same."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from avatar.fleet.scores import Table, evaluation, table_of
from avatar.fleet.store import Store
from tests.avatar.fleet.objects import ObjectStore

REPORT = {
    "driven": {"psnr": 27.5, "ssim": 1, "lpips": None, "frames": 80},
    "refined": {"psnr": 28.123456789, "landmarks": float("nan"), "psnr_head": float("inf")},
    "baseline": {"psnr": 20.0},
}
FIGURES = {"driven psnr": 27.5, "driven ssim": 1.0, "refined psnr": 28.123456789}


def stored(store: Store, folder: Path, report: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "anna.json").write_text(report)
    store.publish("eval/anna", folder, {})


@pytest.mark.parametrize("place", ["folder", "objects"])
def test_the_finite_figures_of_an_evaluation_are_found(tmp_path: Path, objects: type[ObjectStore], place: str) -> None:
    store = Store(str(tmp_path / "out") if place == "folder" else "objects://bucket/out")
    assert evaluation(store, "eval/anna", "anna") == {}
    stored(store, tmp_path / "made", json.dumps(REPORT))
    assert evaluation(store, "eval/anna", "anna") == FIGURES


@pytest.mark.parametrize("report", ["", "{", "[]", "7", '{"driven": []}', '{"driven": "x"}', "[" * 100_000, "{}"])
def test_a_report_that_is_none_has_no_figures(tmp_path: Path, report: str) -> None:
    stored(Store(str(tmp_path / "out")), tmp_path / "made", report)
    assert evaluation(Store(str(tmp_path / "out")), "eval/anna", "anna") == {}


def test_an_evaluation_without_its_record_is_not_done(tmp_path: Path, objects: type[ObjectStore]) -> None:
    store = Store("objects://bucket/out")
    stored(store, tmp_path / "made", json.dumps(REPORT))
    del objects.store["/bucket/out/eval/anna/fleet.json"]
    assert evaluation(store, "eval/anna", "anna") == {}


def test_the_table_has_the_means_of_the_figures_that_there_are() -> None:
    lines = [
        (("a", 2), [{"driven psnr": 20.0, "refined psnr": 1.0}, {"driven psnr": 30.0}]),
        (("b", 1), [{"driven ssim": 0.5}]),
        (("c", 0), []),
    ]
    table = table_of(("setting", "rows"), lines)
    assert table.header == ("setting", "rows", "driven psnr", "driven ssim", "refined psnr")
    assert table.lines == (("a", 2, 25.0, None, 1.0), ("b", 1, None, 0.5, None), ("c", 0, None, None, None))


def test_a_table_may_come_from_an_iterator() -> None:
    assert table_of(("name",), ((name, [FIGURES]) for name in (("a",), ("b",)))).lines[1][:2] == ("b", 27.5)


def test_a_table_without_evaluations_has_only_labels() -> None:
    assert table_of(("name",), []) == Table(("name",), ())
    assert table_of(("name",), []).to_csv() == "name\n"


LINES = (('a, "b"', 28.123456789, None, 3), ("c|d", 1e-7, 1234567.0, 0))


def from_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def from_markdown(text: str) -> list[list[str]]:
    rows = [line.replace("\\|", "\0").strip("|").split("|") for line in text.splitlines()]
    return [[cell.strip().replace("\0", "|") for cell in row] for row in rows]


def test_csv_has_all_digits() -> None:
    header, *rows = from_csv(Table(("name", "psnr", "ssim", "rows"), LINES).to_csv())
    assert header == ["name", "psnr", "ssim", "rows"]
    read: list[tuple[Any, ...]] = [
        (row[0], float(row[1]), float(row[2]) if row[2] else None, int(row[3])) for row in rows
    ]
    assert tuple(read) == LINES


def test_markdown_has_the_same_cells_with_four_digits() -> None:
    header, rule, *rows = from_markdown(Table(("name", "psnr", "ssim", "rows"), LINES).to_markdown())
    assert header == ["name", "psnr", "ssim", "rows"] and rule == ["---"] * 4
    assert rows == [['a, "b"', "28.12", "-", "3"], ["c|d", "1e-07", "1.235e+06", "0"]]
