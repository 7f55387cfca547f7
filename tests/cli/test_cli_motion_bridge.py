"""`headsplat motion bridge`, and `motion convert` with a bridge and to FLAME's files: text, files and errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar import cli
from avatar.motion import read_motion, write_motion
from tests.avatar.motion.files.small import flame_parts, motion
from tests.avatar.performance.coefficients.films import film, rig, rig_file


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """The coefficients of a film and its motion."""
    made = film(80)
    write_motion(tmp_path / "take.motion.npz", made)
    return [str(rig_file(tmp_path / "rig.npz", made)), str(tmp_path / "take.motion.npz")]


def test_a_bridge_is_learned_reported_and_converts(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge = tmp_path / "my.bridge.npz"
    assert cli.main(["motion", "bridge", *pair, "-o", str(bridge)]) == 0
    found = capsys.readouterr()
    assert found.out.startswith("expression ") and "learned from 80 frames: on held-out frames" in found.out
    assert "mm that it moves" in found.out and "only 80 paired frames" in found.err
    assert cli.main(["motion", "convert", pair[0], "--bridge", str(bridge), "-o", str(tmp_path / "new.csv")]) == 0
    found = capsys.readouterr()
    assert "80 frames, 30.000 fps, arkit52" in found.out and "linear bridge learned from 80 frames" in found.err
    made = film(80)
    written = read_motion(tmp_path / "new.csv")
    columns = [written.names.index(name) for name in made.names]
    assert (written.weights[:, columns] - made.weights).abs().mean() < 0.03


def test_the_report_is_json_too_and_arrays_are_chosen(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = film(80)
    rig_file(tmp_path / "rig.npz", made, jaw=rig(made, count=3))
    command = ["motion", "bridge", *pair, "-o", str(tmp_path / "a.bridge.npz"), "--max-lag", "0"]
    assert cli.main(command) == 1
    assert "rig.npz: has exp [80, 30], jaw [80, 3]; name those of the face with --keys" in capsys.readouterr().err
    assert cli.main([*command, "--keys", "jaw,exp", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["coefficients"] == 33


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keys", "exp,"], "--keys: 'exp,': expected different names separated by commas, such as exp,jaw"),
        (["--keys", "exp,exp"], "--keys: 'exp,exp': expected different names"),
        (["--max-lag", "11"], "--max-lag: expected 0 to 10, got 11"),
        (["--fps", "0"], "--fps: expected 0.01 to 1000, got 0"),
        (["third.npz"], "expected pairs of a file of coefficients and the motion or capture of the same film, got 3"),
    ],
)
def test_invalid_options_are_refused_and_nothing_is_written(
    options: list[str], message: str, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["motion", "bridge", *pair, *options, "-o", str(tmp_path / "a.bridge.npz")]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "a.bridge.npz").exists()
    assert cli.main(["motion", "bridge", *pair, "-o", str(tmp_path / "a.npz")]) == 1
    assert "a file of another kind; give a name in .bridge.npz with -o" in capsys.readouterr().err


def test_flame_parameters_go_to_a_file_and_to_a_folder_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "in.npz", **flame_parts(5))
    for name in ("flame_param.npz", "take.flame_param", "take.emoca.npz"):
        assert cli.main(["motion", "convert", str(tmp_path / "in.npz"), "-o", str(tmp_path / name)]) == 0
        assert "in another version the same numbers mean other faces" in capsys.readouterr().err
        assert torch.equal(read_motion(tmp_path / name).weights, read_motion(tmp_path / "in.npz").weights)
    assert cli.main(["motion", "convert", str(tmp_path / "in.npz"), "-o", str(tmp_path / "take.flame_param")]) == 1
    assert "give --overwrite" in capsys.readouterr().err
    write_motion(tmp_path / "arkit.json", replace(motion(), confidence=None))
    assert cli.main(["motion", "convert", str(tmp_path / "arkit.json"), "-o", str(tmp_path / "a.deca.npz")]) == 1
    assert "stores FLAME's expressions, these are of arkit52; convert them with" in capsys.readouterr().err
