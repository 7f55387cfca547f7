"""Refined tracks through the command line: what `train` writes beside a capture and what `eval` makes of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from avatar import cli
from avatar.cli.evaluate import trained_track
from avatar.data.capture_folder import Capture
from avatar.model.avatar_file import read_header
from avatar.refine.track import FILE, RefinedTrack
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
    assert cli.main([*shared, "-o", str(folder / "plain.avatar"), "--no-refine"]) == 0
    assert not (folder / "tiny" / FILE).exists()
    assert cli.main([*shared, "-o", str(folder / "refined.avatar")]) == 0
    return folder


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Capture:
    """A copy of the capture to spoil."""
    return Capture.load(shutil.copytree(folder / "tiny", tmp_path / "own"))


def test_the_header_names_the_refined_track(folder: Path) -> None:
    track = RefinedTrack.load(Capture.load(folder / "tiny"))
    assert track is not None
    header = read_header(folder / "refined.avatar")
    assert header["track"] == {"name": "refined", "fingerprint": track.fingerprint}


def test_no_refine_names_the_landmarks_track_and_keeps_the_setting(folder: Path) -> None:
    header = read_header(folder / "plain.avatar")
    assert header["track"] == {"name": "landmarks"}
    assert header["settings"]["refine_at"] == 1.0


def test_eval_adds_the_refined_row_and_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    arguments = ["eval", folder / "refined.avatar", folder / "tiny", "--save-images", pictures]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert "| refined |" in capsys.readouterr().out
    assert sorted(path.name for path in pictures.iterdir()) == ["refined", "tracked"]


def test_eval_no_refine_leaves_row_and_pictures_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    arguments = ["eval", folder / "refined.avatar", folder / "tiny", "--no-refine", "--save-images", pictures]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert "| refined |" not in capsys.readouterr().out
    assert [path.name for path in pictures.iterdir()] == ["tracked"]


def test_eval_takes_the_avatars_own_track_without_a_word(
    folder: Path, own: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    header = read_header(folder / "refined.avatar")
    found = trained_track(header, own)
    assert found is not None and found.fingerprint == header["track"]["fingerprint"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spoiled", ["another", "gone"])
def test_eval_says_when_the_refined_track_is_not_the_avatars(
    folder: Path, own: Capture, capsys: pytest.CaptureFixture[str], spoiled: str
) -> None:
    track = RefinedTrack.load(own)
    assert track is not None
    if spoiled == "gone":
        (own.root / FILE).unlink()
    else:
        replace(track, translation=track.translation + 0.01).save(own.root)
    assert trained_track(read_header(folder / "refined.avatar"), own) is None
    said = capsys.readouterr().err
    assert "the refined track beside it is not this avatar's; training frames keep tracked poses" in said


def test_a_plain_avatar_does_not_look_at_the_refined_track(folder: Path, own: Capture) -> None:
    (own.root / FILE).write_bytes(b"nonsense")
    assert trained_track(read_header(folder / "plain.avatar"), own) is None


def test_eval_says_when_the_refined_track_is_damaged(
    folder: Path, own: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    (own.root / FILE).write_bytes(b"nonsense")
    assert cli.main(["eval", str(folder / "refined.avatar"), str(own.root)]) == 1
    assert "refined.npz: the refined track is damaged" in capsys.readouterr().err.splitlines()[-1]
