"""`headsplat bench` on a tiny grid, and its error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import cuda_ext
from avatar import cli
from avatar.cli.bench import MAX_THREADS
from avatar.data.capture_folder import Capture
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar

TINY = ["--counts", "300", "--sizes", "32", "--batches", "1", "2", "--sh", "0", "--bases", "2", "--seconds", "0"]
needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))


def run(*arguments: object) -> int:
    return cli.main(["bench", "--device", "cpu", *map(str, arguments)])


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(*arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


@needs_native
def test_bench_prints_and_writes_its_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TINY, "-o", tmp_path / "b.md", tmp_path / "b.json") == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "b.md").read_text()
    for title in ("### Weights to pixels", "### Whole training step", "### Time of a training step by part"):
        assert title in printed
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["machine"]["SIMD level"] == cuda_ext.simd_level()
    rows = [(row["part"], row["batch"]) for row in report["rows"] if row["part"] != "split"]
    assert rows == [("path", 1), ("step", 1), ("step", 4), ("path", 2)]
    assert all(row["timing"]["p10"] <= row["timing"]["median"] <= row["timing"]["p90"] for row in report["rows"])


@needs_native
def test_bench_prints_only_json_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TINY, "--json") == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    parts = {row["name"] for row in report["rows"] if row["part"] == "split"}
    assert {"blend", "bind", "raster forward", "photometric", "adam_step", "adam_outer_step"} <= parts


@needs_native
def test_bench_times_a_trained_avatar_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny: Capture, tiny_avatar: Avatar
) -> None:
    save_avatar(tmp_path / "me.avatar", tiny_avatar, {"capture": capture_entry(tiny)})
    assert run(*TINY, "--avatar", tmp_path / "me.avatar", "--json") == 0
    rows = [row for row in json.loads(capsys.readouterr().out)["rows"] if row["scene"] == "me.avatar"]
    assert {row["part"] for row in rows} == {"path", "step", "split"}
    assert {row["count"] for row in rows} == {len(tiny_avatar)}


@needs_native
def test_bench_restores_the_thread_count() -> None:
    before = cuda_ext.threads()
    assert run(*TINY, "--threads", "1") == 0
    assert cuda_ext.threads() == before


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--counts", "0"], "--counts: expected 1 to 2000000, got 0"),
        (["--sh", "4"], "--sh: expected 0 to 3, got 4"),
        (["--threads", "0"], f"--threads: expected 1 to {MAX_THREADS}, got 0"),
        (["--seconds", "-1"], "--seconds: expected 0 to 3600, got -1"),
        (["-o", "b.txt"], "b.txt: cannot write .txt; give names in .md or .json to -o"),
        (["--avatar", "none.avatar"], "none.avatar"),
    ],
)
def test_bench_refuses_invalid_flags(capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str) -> None:
    assert sentence in failure(capsys, *flags)


def test_bench_does_not_replace_a_report_without_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.md").write_text("old")
    assert "b.md: exists already; give --overwrite" in failure(capsys, *TINY, "-o", tmp_path / "b.md")
    assert (tmp_path / "b.md").read_text() == "old"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_bench_on_a_missing_gpu_is_an_error_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--device", "cuda"]) == 1
    assert capsys.readouterr().err == "headsplat: --device cuda: no CUDA GPU: torch finds no CUDA device.\n"


def test_bench_names_the_devices_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--device", "gpu"]) == 1
    assert capsys.readouterr().err == "headsplat: --device gpu: not known; give auto, cpu, cuda or cuda:N\n"
