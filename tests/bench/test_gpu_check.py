"""`make gpu-check`: its one sentence without a GPU, and a report that goes on after a failure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import cuda_ext
from avatar.bench.timing import Timing
from avatar.data.capture_folder import Capture
from tests.bench import gpu_cases, gpu_check, roofline, step_profile
from tests.bench.gpu_check import Check, Part


def endless(*runs: Callable[[Check], None]) -> list[Part]:
    """Parts that may take any time."""
    return [Part(run, 0, 100) for run in runs]


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
    assert gpu_check.main(["--report", str(tmp_path / "r.md")], endless(*parts)) == 1
    report = (tmp_path / "r.md").read_text()
    for line in ("| first | failed: exit code 3 |", "| second | failed: ", "| third | left out: no tool |"):
        assert line in report
    assert "| fourth | passed |" in report
    assert "broken" in report and "fine" in report


def test_it_passes_when_every_part_passes_or_is_left_out(tmp_path: Path) -> None:
    parts = (lambda check: check.run("one", (sys.executable, "-c", "")), lambda check: check.leave_out("two", "why"))
    assert gpu_check.main(["--report", str(tmp_path / "r.md")], endless(*parts)) == 0


def test_commands_after_a_failed_one_of_the_same_part_are_not_run(tmp_path: Path) -> None:
    check = Check(tmp_path / "r.md")
    fail, touch = "raise SystemExit(1)", f"open({str(tmp_path / 'made')!r}, 'w')"
    assert not check.run("both", (sys.executable, "-c", fail), (sys.executable, "-c", touch))
    assert not (tmp_path / "made").exists()


def test_a_part_that_never_ends_fails_and_keeps_what_it_said(tmp_path: Path) -> None:
    def slow(check: Check) -> None:
        check.run("slow", (sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"))

    assert gpu_check.main(["--report", str(tmp_path / "r.md")], [Part(slow, 0, 1)]) == 1
    assert "| slow | failed: not done after 1 s |" in (tmp_path / "r.md").read_text()
    assert "begun" in (tmp_path / "r.md").read_text()


def test_parts_for_which_too_little_time_is_left_are_left_out_with_the_reason(tmp_path: Path) -> None:
    def short_part(check: Check) -> None:
        check.run("short", (sys.executable, "-c", ""))

    parts = [Part(gpu_check.sanitize, 20, 120), Part(short_part, 0, 5)]
    assert gpu_check.main(["--report", str(tmp_path / "r.md"), "--seconds", "10"], parts) == 0
    report = (tmp_path / "r.md").read_text()
    assert "| sanitize | left out: 10 s of 10 s were left, and it needs 20 s |" in report
    assert "| short | passed |" in report


def test_the_parts_fit_into_eight_minutes_in_order_of_their_worth() -> None:
    names = [part.run.__name__ for part in gpu_check.PARTS]
    assert names[:4] == ["machine", "build_kernels", "self_check", "gpu_tests"] and names[-1] == "sanitize"
    assert sum(part.least for part in gpu_check.PARTS) <= gpu_check.SECONDS == 480
    assert all(part.least <= part.most for part in gpu_check.PARTS)


@pytest.mark.parametrize(("other", "result"), [(30.1, "passed"), (29.0, "failed: 1.00 dB apart")])
def test_scores_of_two_devices_are_compared(tmp_path: Path, other: float, result: str) -> None:
    for name, value in (("cpu", 30.0), ("cuda", other)):
        rows = {"driven": {"psnr": value}, "fitted": {"psnr": value}}
        (tmp_path / f"{name}.json").write_text(json.dumps({**rows, "frames": 3}))
    outcome = gpu_check.same_scores(tmp_path / "cpu.json", tmp_path / "cuda.json")
    assert outcome.result == result and f"driven: 30.00 dB on the CPU, {other:.2f} dB on the GPU" in outcome.output
    missing = gpu_check.same_scores(tmp_path / "cpu.json", tmp_path / "none.json").result
    assert missing.startswith("failed: there are not two scores")


def test_the_limits_of_a_device_follow_from_its_attributes() -> None:
    h100 = {
        roofline.CLOCK: 1_980_000, roofline.MEMORY_CLOCK: 2_619_000, roofline.BUS_WIDTH: 5120, roofline.PROCESSORS: 132,
        roofline.MAJOR: 9, roofline.MINOR: 0,
    }  # fmt: skip
    peak = roofline.peak_of(h100.__getitem__)
    assert peak.bandwidth == pytest.approx(3.35e12, rel=0.01) and peak.flops == pytest.approx(66.9e12, rel=0.01)


def test_work_grows_with_what_it_is_made_of() -> None:
    small = roofline.Shape(100_000, 20, 512, 1, 250_000)
    assert roofline.WORK["adam_step"](small).bytes == 7 * 4 * 14 * 100_000
    assert roofline.WORK["blend"](small).bytes == 4 * 11 * 100_000 * (20 + 1)
    larger = replace(small, batch=8, intersections=8 * 250_000)
    for name in ("splat_forward", "splat_backward", "photometric"):
        few, many = (roofline.WORK[name](shape) for shape in (small, larger))
        assert 7.5 < many.bytes / few.bytes < 8.5 and many.flops == pytest.approx(8 * few.flops)


def test_the_table_names_share_and_limit_of_each_kernel() -> None:
    shape = roofline.Shape(100_000, 20, 512, 1, 250_000)
    peak = roofline.Peak(1e12, 1e13)
    least = 1e3 * peak.seconds(roofline.WORK["blend"](shape))
    times = {name: Timing(2 * least, least, least, None, 1) for name in ("blend", "rest")}
    rows = roofline.table(shape, times, peak).splitlines()
    assert rows[2].endswith("| 50 % | memory |") and rows[3].endswith("| not counted |")
    assert roofline.table(shape, times, None).splitlines()[2].endswith("|  | unknown |")


def test_the_kernels_of_a_step_are_measured_on_any_device() -> None:
    shape, times = roofline.measured(300, 32, 2, torch.device("cpu"))
    assert shape.gaussians == 600 and {"blend", "adam_step"} <= set(times) & set(roofline.WORK)


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
