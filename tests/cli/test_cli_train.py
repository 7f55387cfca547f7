"""`headsplat train`, `capture` and `eval` on a tiny capture, and their error messages."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from avatar import cli
from avatar.common.toml_config import load_config
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.jobs.training import TrainJob, TrainOptions
from avatar.jobs.training_outputs import smaller_frames
from avatar.model.avatar_file import load_avatar
from avatar.training.config import TrainConfig
from tests.support.pretended import Device
from tests.support.tiny import tiny_capture

FAST = "steps = 30\ngaussians = 300\nbases = 3\n"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="module")
def trained(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny avatar with all files that `headsplat train` writes beside it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "fast.toml").write_text(FAST)
    out = folder / "tiny.avatar"
    assert (
        cli.main(["train", str(capture.root), "-o", str(out), "--config", str(folder / "fast.toml"), "--size", "48"])
        == 0
    )
    return out


def failure(capsys: pytest.CaptureFixture[str], arguments: list[Any], code: int = 1) -> str:
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines
    return lines[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", "headsplat: --device cuda: no CUDA GPU: torch finds no CUDA device."),
        ("gpu", "headsplat: --device gpu: not known; give auto, cpu, cuda or cuda:N"),
    ],
)
def test_train_names_what_is_wrong_with_a_device(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    arguments = ["train", capture.root, "-o", tmp_path / "me.avatar", "--device", name]
    assert failure(capsys, arguments) == message
    assert not any(tmp_path.iterdir())


def test_train_on_a_device_writes_an_avatar_for_every_machine(
    gpu: Device, capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fast.toml").write_text("steps = 4\ngaussians = 200\nbases = 2\nlayer = false\nrefine_at = 1.0\n")
    config = ["--config", str(tmp_path / "fast.toml"), "--size", "32"]
    out = tmp_path / "me.avatar"
    assert cli.main(["train", str(capture.root), "-o", str(out), "--device", "cuda:0", *config]) == 0
    assert gpu.uploads.total() > 0
    assert "4 steps" in capsys.readouterr().out
    assert load_config(out.with_name("me.toml"), TrainConfig()).batch == 8  # of the preset `gpu`
    assert load_avatar(out).offsets.device == torch.device("cpu")


def test_train_writes_avatar_preview_and_resolved_settings(trained: Path) -> None:
    names = {path.name for path in trained.parent.iterdir()}
    assert names == {"fast.toml", "tiny.avatar", "tiny.preview.png", "tiny.report.json", "tiny.toml"}
    settings = load_config(trained.with_name("tiny.toml"), TrainConfig())
    assert (settings.steps, settings.gaussians, settings.size) == (30, 300, 48)


def test_the_report_of_train_has_stages_residual_and_refinement(trained: Path, capture: Capture) -> None:
    report = json.loads(trained.with_name("tiny.report.json").read_text())
    assert set(report["seconds"]) == {"initialising", "training", "refining"}
    assert 0 < report["residual"]["mouth"]["levels"] < 255
    assert report["capture"] == capture.fingerprint and report["finished"]
    refined = report["refinement"]
    numbers = set(capture.track["frame_number"][capture.train_indices].tolist())
    assert refined["frames"] + len(refined["flagged"]) == len(numbers) and numbers.issuperset(refined["flagged"])
    assert (
        refined["jitter_before"].keys()
        == refined["jitter_after"].keys()
        == {
            "rotation_deg",
            "sideways_cm",
            "depth_cm",
        }
    )


def test_photos_and_their_captures_have_settings_of_their_own(capture: Capture, tmp_path: Path) -> None:
    def settings(*source: Path, **options: Any) -> TrainConfig:
        return TrainJob(source, tmp_path / "a.avatar", TrainOptions(**options)).resolved()

    photos = (tmp_path / "a.jpg", tmp_path / "b.PNG")
    assert settings(*photos).bases == 0
    assert settings(*photos, preset="fast").bases > 0
    assert settings(tmp_path / "a.mp4").bases > 0 and settings(capture.root).bases > 0
    of_photos = tmp_path / "of_photos.capture"
    shutil.copytree(capture.root, of_photos)
    metadata = json.loads((of_photos / METADATA_FILE).read_text())
    metadata["source"]["photos"] = ["a.jpg"]
    (of_photos / METADATA_FILE).write_text(json.dumps(metadata))
    assert settings(of_photos).bases == 0


def test_a_training_on_a_gpu_has_settings_of_its_own(tmp_path: Path) -> None:
    job = TrainJob((tmp_path / "a.mp4",), tmp_path / "a.avatar")
    on_gpu, on_cpu = job.resolved(on_gpu=True), job.resolved()
    assert (on_gpu.size, on_gpu.gaussians, on_gpu.bases, on_gpu.batch) == (1024, 100_000, 20, 8)
    assert on_cpu == TrainConfig()
    assert replace(job, options=TrainOptions(preset="default")).resolved(on_gpu=True) == on_cpu
    assert replace(job, source=(tmp_path / "a.jpg",)).resolved(on_gpu=True).bases == 0


def test_several_sources_are_photos_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, video = tmp_path / "a.jpg", tmp_path / "b.mp4"
    for path in (photo, video):
        path.write_bytes(b"no image")
    out = tmp_path / "a.avatar"
    assert "b.mp4: not a photo; give one video, or photos only" in failure(capsys, ["train", photo, video, "-o", out])
    assert "c.jpg: no such file; give a video or photos" in failure(
        capsys, ["train", photo, tmp_path / "c.jpg", "-o", out]
    )
    assert "a.jpg: not a photo that can be read" in failure(capsys, ["train", photo, "-o", out])
    assert "--test-fraction: not for photos" in failure(capsys, ["train", photo, "-o", out, "--test-fraction", "0.2"])
    assert not out.exists() and not out.with_suffix(".capture").exists()


def test_train_without_refinement_reports_none(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fast.toml").write_text(FAST)
    arguments = ["train", capture.root, "-o", tmp_path / "a.avatar", "--config", tmp_path / "fast.toml", "--no-refine"]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert json.loads((tmp_path / "a.report.json").read_text())["refinement"] is None
    printed = capsys.readouterr().out
    assert "a.avatar: 300 Gaussians" in printed and "refined" not in printed


def test_train_does_not_replace_a_report_without_overwrite(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.report.json").write_text("{}")
    text = failure(capsys, ["train", capture.root, "-o", tmp_path / "a.avatar"])
    assert "a.report.json: exists already; give --overwrite to replace it" in text


def test_an_incomplete_checkpoint_is_removed_by_the_next_training(capture: Capture, tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text(FAST)
    (tmp_path / "a.checkpoint.part").write_bytes(b"half")
    arguments = ["train", capture.root, "-o", tmp_path / "a.avatar", "--config", tmp_path / "fast.toml", "--no-refine"]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert not (tmp_path / "a.checkpoint.part").exists()


def test_train_prints_the_note_on_consent(capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fast.toml").write_text(FAST)
    arguments = ["train", capture.root, "-o", tmp_path / "a.avatar", "--config", tmp_path / "fast.toml"]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert "train only on someone who has agreed" in capsys.readouterr().err


def test_train_does_not_replace_an_avatar_without_overwrite(
    capture: Capture, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained.read_bytes()
    text = failure(capsys, ["train", capture.root, "-o", trained])
    assert "tiny.avatar: exists already; give --overwrite to replace it" in text
    assert trained.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "8"], "--size: expected 32 to 4096, got 8"),
        (["--max-seconds", "0"], "--max-seconds: expected more than 0 and at most 31536000, got 0"),
        (["--test-every", "5"], "a capture has its split already"),
        (["--framing", "bust"], "a capture has its frames already; give --framing to `headsplat capture` instead"),
        (["--framing", "full", "--passes", "3"], "give --framing and --passes to `headsplat capture` instead"),
        (["--passes", "0"], "--passes: expected 1 to 64, got 0"),
        (["--resume"], "no such checkpoint; omit --resume to start a new training"),
        (["--config", "none.toml"], "none.toml: no such configuration file"),
    ],
)
def test_train_refuses_flags_with_a_message(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert message in failure(capsys, ["train", capture.root, "-o", tmp_path / "a.avatar", *flags])
    assert list(tmp_path.iterdir()) == []


def test_the_error_of_an_unknown_key_names_the_nearest_one(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text("gausians = 3\n")
    arguments = ["train", capture.root, "-o", tmp_path / "a.avatar", "--config", tmp_path / "my.toml"]
    assert "unknown key `gausians`; did you mean `gaussians`?" in failure(capsys, arguments)


def test_train_requires_a_name_that_ends_in_avatar(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = failure(capsys, ["train", capture.root, "-o", tmp_path / "me.ply"])
    assert "an avatar's name ends in .avatar; write -o" in text


@pytest.mark.parametrize("command", ["train", "capture"])
def test_a_missing_video_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    text = failure(capsys, [command, tmp_path / "none.mp4", "-o", tmp_path / "out.avatar"])
    assert "none.mp4: no such file; give a video" in text


@pytest.mark.parametrize("command", ["train", "capture"])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    (tmp_path / "notes.mp4").write_text("hello\n")
    text = failure(capsys, [command, tmp_path / "notes.mp4", "-o", tmp_path / "out.avatar"])
    assert "notes.mp4 is not a video headsplat can read" in text


def test_two_splits_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.mp4").write_text("x")
    flags = ["--test-fraction", "0.2", "--test-every", "5"]
    text = failure(capsys, ["capture", tmp_path / "clip.mp4", "-o", tmp_path / "c", *flags])
    assert "--test-fraction and --test-every: both given" in text


def test_capture_does_not_replace_a_capture_without_overwrite(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_text("x")
    text = failure(capsys, ["capture", tmp_path / "clip.mp4", "-o", capture.root])
    assert "exists already; give --overwrite" in text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EACCES, "permission denied; choose a place you may write to"),
    ],
)
def test_a_write_error_leaves_no_incomplete_files(
    capture: Capture,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    message: str,
) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise OSError(code, os.strerror(code), str(target))

    (tmp_path / "fast.toml").write_text(FAST)
    monkeypatch.setattr(os, "replace", refuse)
    arguments = ["train", capture.root, "-o", tmp_path / "a.avatar", "--config", tmp_path / "fast.toml"]
    assert message in failure(capsys, arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["fast.toml"]


def test_ctrl_c_saves_the_avatar_and_resume_finishes_the_training(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar.training.trainer import Trainer

    step = Trainer.step

    def interrupted_step(trainer: Trainer, fraction: float) -> float:
        if trainer.steps_done == 10:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, fraction)

    (tmp_path / "fast.toml").write_text(FAST)
    arguments = ["train", capture.root, "-o", tmp_path / "a.avatar", "--config", tmp_path / "fast.toml"]
    monkeypatch.setattr(Trainer, "step", interrupted_step)
    text = failure(capsys, arguments, code=130)
    assert "stopped by Ctrl-C" in text and "--resume continues the training" in text
    assert (tmp_path / "a.avatar").exists() and (tmp_path / "a.checkpoint").exists()

    monkeypatch.setattr(Trainer, "step", step)
    assert cli.main([*map(str, arguments), "--resume"]) == 0
    assert not (tmp_path / "a.checkpoint").exists()
    capsys.readouterr()
    assert cli.main(["info", str(tmp_path / "a.avatar"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["steps"] == 30


def test_a_checkpoint_is_not_replaced_without_overwrite(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.checkpoint").write_bytes(b"a checkpoint")
    text = failure(capsys, ["train", capture.root, "-o", tmp_path / "a.avatar"])
    assert "give --resume to continue it or --overwrite to start a new one" in text
    assert (tmp_path / "a.checkpoint").read_bytes() == b"a checkpoint"


def test_the_interrupt_handler_is_restored(capture: Capture, tmp_path: Path) -> None:
    def handler(*_: object) -> None: ...

    before = signal.signal(signal.SIGINT, handler)
    try:
        (tmp_path / "fast.toml").write_text(FAST)
        out, config = str(tmp_path / "a.avatar"), str(tmp_path / "fast.toml")
        assert cli.main(["train", str(capture.root), "-o", out, "--config", config, "--size", "48"]) == 0
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_info_of_an_avatar_has_its_training(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(trained), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["gaussians"], facts["settings"]["size"]) == ("avatar", 300, 48)
    assert facts["capture"]["name"] == "tiny"


def test_info_of_a_capture_has_numbers_of_frames(capture: Capture, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(capture.root), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["frames"], facts["test_frames"]) == ("capture", 24, 4)


def test_eval_writes_table_figures_and_images(
    capture: Capture, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = ["--json", tmp_path / "e.json", "--markdown", tmp_path / "e.md", "--save-images", tmp_path / "images"]
    assert cli.main([str(argument) for argument in ["eval", trained, capture.root, "--full", *outputs]]) == 0
    printed = capsys.readouterr().out
    assert "| held-out frames, driven by the tracker |" in printed and "| baseline: static face |" in printed
    figures = json.loads((tmp_path / "e.json").read_text())
    assert figures["width"] == 48 and figures["bytes"] == trained.stat().st_size
    assert figures["driven"]["psnr"] > 10
    assert (tmp_path / "e.md").read_text().startswith("| row |")
    assert len(list((tmp_path / "images" / "tracked").glob("pred_*.png"))) == 4


def test_eval_does_not_replace_figures_without_overwrite(
    capture: Capture, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.json").write_text("{}")
    assert "exists already" in failure(capsys, ["eval", trained, capture.root, "--json", tmp_path / "e.json"])


def test_eval_refuses_a_missing_lpips_file(
    capture: Capture, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = failure(capsys, ["eval", trained, capture.root, "--lpips", tmp_path / "none.onnx"])
    assert "none.onnx: no such file; give an LPIPS network in ONNX format" in text


def test_frames_smaller_than_the_training_size_are_reported(capture: Capture) -> None:
    assert smaller_frames(capture, 64) is None
    assert smaller_frames(capture, 512) == (
        "training at 64x64 pixels, the size of the capture's frames: they are not enlarged to 512"
    )


def test_training_on_a_capture_whose_head_file_is_missing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = tiny_capture(tmp_path / "mine", frames=10)
    facts = dict(capture.metadata) | {"head": capture.metadata["head"] | {"source": str(tmp_path / "flame2023.pkl")}}
    (capture.root / "capture.json").write_text(json.dumps(facts))
    text = failure(capsys, ["train", capture.root, "-o", tmp_path / "me.avatar"])
    assert "flame2023.pkl: the head model that" in text and "does not exist; give --head FILE" in text


def test_training_on_a_folder_of_several_cameras_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "transforms.json").write_text("{}")
    text = failure(capsys, ["train", tmp_path, "-o", tmp_path / "me.avatar"])
    assert f"a folder of several cameras, not a capture; run `headsplat capture {tmp_path} -o me.capture`" in text
