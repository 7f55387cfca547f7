"""Refined tracks on the command line: written by `train` to the capture folder, used by `eval`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from avatar import cli
from avatar.cli.progress import SENTENCES
from avatar.data.capture_folder import Capture
from avatar.jobs.evaluating import trained_track
from avatar.model.avatar_file import read_header
from avatar.refine.track import FILE, RefinedTrack
from tests.support.pretended import Device
from tests.support.tiny import tiny_capture

FAST = """steps = 20
gaussians = 300
bases = 3
[refine]
iterations = 2
expression_iterations = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture, its refined track, an avatar trained with it and one without."""
    folder = tmp_path_factory.mktemp("refined")
    tiny_capture(folder / "tiny", frames=15, size=48)
    (folder / "fast.toml").write_text(FAST)
    shared = ["train", str(folder / "tiny"), "--config", str(folder / "fast.toml"), "--size", "48"]
    assert cli.main([*shared, "-o", str(folder / "unrefined.avatar"), "--no-refine"]) == 0
    assert not (folder / "tiny" / FILE).exists()
    assert cli.main([*shared, "-o", str(folder / "refined.avatar")]) == 0
    return folder


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Capture:
    """A copy of the capture, for tests that change it."""
    return Capture.load(shutil.copytree(folder / "tiny", tmp_path / "copied"))


def test_the_header_names_the_refined_track(folder: Path) -> None:
    track = RefinedTrack.load(Capture.load(folder / "tiny"))
    assert track is not None
    header = read_header(folder / "refined.avatar")
    assert header["track"] == {"name": "refined", "fingerprint": track.fingerprint}


def test_no_refine_names_the_landmarks_track_and_keeps_the_setting(folder: Path) -> None:
    header = read_header(folder / "unrefined.avatar")
    assert header["track"] == {"name": "landmarks"}
    assert header["settings"]["refine_at"] == 1.0


def test_eval_on_a_device_prints_the_table_of_the_cpu(
    gpu: Device, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["eval", str(folder / "unrefined.avatar"), str(folder / "tiny"), "--full", "--no-refine", "--no-landmarks"]
    found = {}
    for device in ("cpu", "cuda:0"):
        path = tmp_path / f"{device[:3]}.json"
        assert cli.main([*shared, "--json", str(path), "--device", device]) == 0
        found[device] = json.loads(path.read_text())
    assert gpu.waits.total() > 0
    for row in ("driven", "train", "static head", "textured mesh"):
        assert found["cuda:0"][row]["psnr"] == pytest.approx(found["cpu"][row]["psnr"], abs=0.1), row
    capsys.readouterr()
    assert cli.main([*shared, "--device", "gpu"]) == 1
    assert capsys.readouterr().err == "headsplat: --device gpu: not known; give auto, cpu, cuda or cuda:N\n"


def test_eval_adds_the_refined_row_and_images(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    arguments = ["eval", folder / "refined.avatar", folder / "tiny", "--save-images", images]
    assert cli.main([str(argument) for argument in arguments]) == 0
    printed = capsys.readouterr().out
    assert "| held-out frames, fitted poses |" in printed and "| held-out frames, one step a frame |" in printed
    assert sorted(path.name for path in images.iterdir() if path.is_dir()) == ["refined", "stepped", "tracked"]


def test_eval_without_refinement_has_neither_row_nor_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    arguments = ["eval", folder / "refined.avatar", folder / "tiny", "--no-refine", "--save-images", images]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert "held-out frames, fitted poses" not in capsys.readouterr().out
    assert [path.name for path in images.iterdir() if path.is_dir()] == ["tracked"]


def test_eval_uses_the_track_of_the_avatar_without_a_message(
    folder: Path, copied: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    header = read_header(folder / "refined.avatar")
    found = trained_track(header, copied)
    assert found is not None and found.fingerprint == header["track"]["fingerprint"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", ["another", "missing"])
def test_eval_reports_a_refined_track_of_another_training(
    folder: Path, copied: Capture, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    track = RefinedTrack.load(copied)
    assert track is not None
    if change == "missing":
        (copied.root / FILE).unlink()
    else:
        replace(track, translation=track.translation + 0.01).save(copied.root)
    assert trained_track(read_header(folder / "refined.avatar"), copied, SENTENCES) is None
    text = capsys.readouterr().err
    assert "its refined track is not that of this avatar; training frames keep the tracker's poses" in text


def test_the_refined_track_is_not_read_for_an_avatar_without_refinement(folder: Path, copied: Capture) -> None:
    (copied.root / FILE).write_bytes(b"nonsense")
    assert trained_track(read_header(folder / "unrefined.avatar"), copied) is None


def test_eval_reports_a_damaged_refined_track(
    folder: Path, copied: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied.root / FILE).write_bytes(b"nonsense")
    assert cli.main(["eval", str(folder / "refined.avatar"), str(copied.root)]) == 1
    assert "refined.npz: the refined track is damaged" in capsys.readouterr().err.splitlines()[-1]
