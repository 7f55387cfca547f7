"""`headsplat motion`: printed text, written files and error messages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar_file import save_avatar
from avatar.motion import read_motion
from tests.avatar.driving.puppet import puppet
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("parent") / "c", frames=32, size=16)


def test_info_of_a_capture_lists_its_expressions_and_head_rotation(
    capture: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["motion", "info", str(capture.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    uses = {use["name"]: use["peak"] for use in found["names"]}
    assert (found["space"], found["frames"], found["rate"], found["without_face"]) == ("arkit52", 32, 30, 0)
    assert uses["jawOpen"] == pytest.approx(0.5, abs=0.01) and uses["browInnerUp"] == 0
    assert found["head_degrees"]["yaw"] == pytest.approx(40, abs=1)


def test_info_with_an_avatar_reports_the_retargeted_motion(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avatar = puppet(load_head())
    avatar.provenance = {"steps": 0}
    save_avatar(tmp_path / "a.avatar", avatar)
    assert cli.main(["motion", "info", str(capture.root), "--avatar", str(tmp_path / "a.avatar")]) == 0
    assert "every expression of the motion can be shown\nsoft-clamped to the trained range" in capsys.readouterr().out


def test_convert_trims_resamples_and_scales(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "a.motion.npz"
    command = ["motion", "convert", str(capture.root), "-o", str(out), "--trim", "0.2:0.8", "--fps", "15"]
    assert cli.main([*command, "--gain", "mouth=2,jawOpen=0.5"]) == 0
    found, names = read_motion(out), load_head().expression_names
    rows = slice(6, 24, 2)
    assert torch.allclose(found.time - found.time[0], torch.arange(9, dtype=torch.float64) / 15)
    weights = torch.from_numpy(capture.track["expression"][rows])
    for name, factor in (("jawOpen", 0.5), ("mouthSmileLeft", 2.0)):
        column = names.index(name)
        assert torch.allclose(found.weights[:, column], factor * weights[:, column], atol=0.02)


def test_convert_writes_live_link_and_keeps_an_existing_file(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["motion", "convert", str(capture.root), "-o", str(tmp_path / "a.csv")]
    assert cli.main(command) == 0
    assert len(read_motion(tmp_path / "a.csv")) == 32
    assert cli.main(command) == 1
    assert "give --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trim", "5"], "--trim: '5' is not a time span"),
        (["--trim", "7:"], "no frame from 7 s on"),
        (["--gain", "mouth"], "--gain: 'mouth' is not a factor; give NAME=NUMBER"),
        (["--gain", "moth=2"], "did you mean mouth?"),
        (["--fps", "0"], "--fps: expected 0.01 to 1000, got 0"),
        (["--fps", "5000"], "--fps: expected 0.01 to 1000, got 5000"),
        (["--motion-fps", "0"], "--motion-fps: expected 0.01 to 1000, got 0"),
        (["--smooth", "-1"], "--smooth: expected 0 to 10, got -1"),
        (["--trim", "12:10"], "--trim: 12:10: the end is not after the start"),
    ],
)
def test_invalid_options_are_refused_and_nothing_is_written(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    out = tmp_path / "a.csv"
    assert cli.main(["motion", "convert", str(capture.root), "-o", str(out), *options]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_another_expression_space_cannot_be_retargeted_without_its_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "t_expressions.npy", np.zeros((4, 100), np.float32))
    np.save(tmp_path / "t_poses.npy", np.zeros((4, 15), np.float32))
    out = tmp_path / "a.csv"
    command = ["motion", "convert", str(tmp_path / "t_expressions.npy"), "-o", str(out), "--to-head", "embedded"]
    assert cli.main(command) == 1
    assert "give the one it was made for with --motion-head FILE" in capsys.readouterr().err
