"""`make gpu-check`: its one sentence without a GPU, and a report that goes on after a failure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

import cuda_ext
from avatar.data.capture_folder import Capture
from tests.bench import gpu_cases, gpu_check, step_profile
from tests.bench.gpu_check import Check


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_it_says_so_in_one_sentence_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu_check.main(["--report", str(tmp_path / "r.md")]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", gpu_check.NO_GPU + "\n")
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_after_a_failure_and_reports_every_part(tmp_path: Path) -> None:
    parts = (
        lambda check: check.run("first", (sys.executable, "-c", "print('broken'); raise SystemExit(3)")),
        lambda check: check.run("second", (str(tmp_path / "no-such-tool"),)),
        lambda check: check.leave_out("third", "no tool"),
        lambda check: check.run("fourth", (sys.executable, "-c", "print('fine')")),
    )
    assert gpu_check.main(["--report", str(tmp_path / "r.md")], parts) == 1
    report = (tmp_path / "r.md").read_text()
    for line in ("| first | failed: exit code 3 |", "| second | failed: ", "| third | left out: no tool |"):
        assert line in report
    assert "| fourth | passed |" in report
    assert "broken" in report and "fine" in report


def test_it_passes_when_every_part_passes_or_is_left_out(tmp_path: Path) -> None:
    parts = (lambda check: check.run("one", (sys.executable, "-c", "")), lambda check: check.leave_out("two", "why"))
    assert gpu_check.main(["--report", str(tmp_path / "r.md")], parts) == 0


def test_commands_after_a_failed_one_of_the_same_part_are_not_run(tmp_path: Path) -> None:
    check = Check(tmp_path / "r.md")
    fail, touch = "raise SystemExit(1)", f"open({str(tmp_path / 'made')!r}, 'w')"
    assert not check.run("both", (sys.executable, "-c", fail), (sys.executable, "-c", touch))
    assert not (tmp_path / "made").exists()


def test_a_part_that_never_ends_fails_and_keeps_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PART_SECONDS", 1)
    check = Check(tmp_path / "r.md")
    assert not check.run("slow", (sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"))
    assert "| slow | failed: not done after 1 s |" in (tmp_path / "r.md").read_text()
    assert "begun" in (tmp_path / "r.md").read_text()


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_the_small_cases_for_the_sanitizers_run_on_any_device() -> None:
    gpu_cases.run(torch.device("cpu"))


def test_training_is_scored_on_both_devices_and_left_out_without_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "BUILD", tmp_path)
    for works, program in ((True, "import sys; print(*sys.argv[1:])"), (False, "raise SystemExit(1)")):
        (tmp_path / "fake.py").write_text(program)
        check = Check(tmp_path / "r.md")
        run = check.run

        def instead(name: str, *commands: Sequence[str], run: Callable[..., bool] = run) -> bool:
            fake = (sys.executable, str(tmp_path / "fake.py"))
            return run(name, *((*fake, *command[3:]) for command in commands))

        monkeypatch.setattr(check, "run", instead)
        gpu_check.training(check)
        report = (tmp_path / "r.md").read_text()
        for device in ("cpu", "cuda"):
            assert (f"| training on {device} | passed |" in report) is works
            assert (f"{device}.avatar --preset fast --device {device}" in report) is works
            assert (f"| training on {device} | left out: there is no clip |" in report) is not works


def test_a_profile_of_training_steps_names_the_kernels(
    tiny: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.json"
    step_profile.main([str(tiny.root), "--steps", "2", "--size", "48", "-o", str(trace)])
    assert "rendered_loss" in capsys.readouterr().out
    assert "traceEvents" in trace.read_text()
