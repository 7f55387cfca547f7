"""Data-parallel training: two processes on the CPU against one, and against each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.parallel import Processes
from tests.support.parallel_training import STEPS, STOPPED
from tests.support.tiny import tiny_capture

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
TRAINING = "tests.support.parallel_training"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("small") / "capture", frames=12, size=32, test_every=4)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )  # fmt: skip


def trained(capture: Capture, out: Path, mode: str, processes: int = 2) -> list[dict[str, Any]]:
    """What each process has after a training: `state` of the avatar and `steps`."""
    out.mkdir(exist_ok=True)
    launch = TORCHRUN if processes > 1 else (sys.executable, "-m")
    done = run(*launch, TRAINING, str(capture.root), str(out), mode)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(processes)]


@pytest.fixture(scope="module")
def together(small: Capture, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return trained(small, tmp_path_factory.mktemp("together"), "whole")


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_processes_have_the_same_avatar_bit_for_bit(together: list[dict[str, Any]]) -> None:
    assert together[0]["steps"] == together[1]["steps"] == STEPS
    assert equal(together[0]["state"], together[1]["state"])


def test_two_processes_train_the_avatar_of_one_with_the_same_batches(
    together: list[dict[str, Any]], small: Capture, tmp_path: Path
) -> None:
    """The sums of the gradients have other last bits, and Adam's first steps have the size of the rate whatever the
    gradient: a few values that hardly matter differ, most do not."""
    (alone,) = trained(small, tmp_path / "alone", "whole", processes=1)
    assert alone["steps"] == STEPS
    for name in ("offsets", "log_scales", "colors", "logit_opacities", "blendshapes.basis", "blendshapes.mix"):
        one, other = alone["state"][name], together[0]["state"][name]
        assert one.numel() > 0
        assert (one - other).abs().median() <= 1e-3 * one.abs().median() + 1e-7, name
    assert torch.equal(alone["state"]["rig.triangles"], together[0]["state"]["rig.triangles"])


def test_a_stop_of_the_first_process_stops_all_and_they_resume_to_the_same_bits(
    together: list[dict[str, Any]], small: Capture, tmp_path: Path
) -> None:
    stopped = trained(small, tmp_path / "resumed", "stop")
    assert [each["steps"] for each in stopped] == [STOPPED, STOPPED]
    resumed = trained(small, tmp_path / "resumed", "resume")
    assert [each["steps"] for each in resumed] == [STEPS - STOPPED, STEPS - STOPPED]
    assert all(equal(each["state"], together[0]["state"]) for each in resumed)


def test_a_process_that_is_lost_ends_the_others_with_a_sentence(small: Capture, tmp_path: Path) -> None:
    done = run(*TORCHRUN, TRAINING, str(small.root), str(tmp_path), "lost")
    assert done.returncode != 0
    assert "HeadsplatError: torchrun: another process was lost; continue with --resume" in done.stderr


def test_one_process_keeps_what_it_is_given() -> None:
    alone, values = Processes(), torch.arange(6.0)
    parameter = nn.Parameter(values.clone())
    parameter.grad = gradient = values.clone()
    alone.sum_gradients([parameter])
    assert parameter.grad is gradient and alone.share(values) is values and alone.gather(values) is values
    assert alone.agree(0.25) == 0.25
    assert torch.equal(Processes(1, 3).share(values), torch.tensor([2.0, 3.0]))


def test_a_batch_that_cannot_be_divided_is_refused(small: Capture) -> None:
    with pytest.raises(HeadsplatError, match="batch: 3 images a step cannot be divided among 2 processes; give a mul"):
        fit(small, load_head(), TrainConfig(size=32, steps=2, gaussians=300, batch=3), processes=Processes(0, 2))


def test_torchrun_trains_by_the_command_and_the_first_process_alone_prints(small: Capture, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text("steps = 4\ngaussians = 200\nbases = 2\nbatch = 2\nsize = 32\nlayer = false\n")
    out = tmp_path / "me.avatar"
    words = ["avatar.cli", "train", str(small.root), "-o", str(out), "--config", str(tmp_path / "tiny.toml")]
    done = run(*TORCHRUN, *words, "--device", "cpu", "--no-refine")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("4 steps") == 1 and done.stderr.count("train only on someone who has agreed") == 1
    assert out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--device auto: several processes need one kind of device; give --device cuda or cpu"),
        (["--device", "cpu", "--view"], "torchrun: several processes have no window; leave out --view"),
    ],
)
def test_what_several_processes_cannot_do_is_one_sentence(
    small: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    from avatar import cli

    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["train", str(small.root), "-o", str(tmp_path / "me.avatar"), *words]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"headsplat: {message}"
    video = tmp_path / "me.mp4"
    video.write_bytes(b"no video")
    assert cli.main(["train", str(video), "-o", str(tmp_path / "me.avatar"), "--device", "cpu"]) == 1
    assert "several processes train on one capture; run `headsplat capture` first" in capsys.readouterr().err
