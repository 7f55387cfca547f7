"""`headsplat render --scene`: the film, its sound and its report, and what does not go with a scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from tests.support.sounds import write_wav


@pytest.fixture(scope="module")
def folder(tiny_avatar: Avatar, tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    for name in ("anna", "ben"):
        save_avatar(
            folder / f"{name}.avatar", tiny_avatar, {"capture": capture_entry(tiny), "consent": f"{name} agrees"}
        )
    frames = [{"weights": [0.5 - 0.5 * np.cos(k / 3), 0.1], "time": k / 30} for k in range(12)]
    (folder / "take.json").write_text(json.dumps({"names": ["jawOpen", "eyeBlinkLeft"], "frames": frames}))
    write_wav(folder / "tone.wav", 0.4 * np.sin(np.arange(4800)), 48_000)
    return folder


def run(*arguments: Any) -> int:
    return cli.main(["render", *map(str, arguments)])


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    assert run(*arguments) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_a_scene_of_one_equals_the_single_rendering(folder: Path, tmp_path: Path) -> None:
    take = folder / "take.json"
    flags = ("--frames", "4:5", "--size", "48")
    assert run(folder / "anna.avatar", "--motion", take, "-o", tmp_path / "single", *flags) == 0
    assert run(f"{folder / 'anna.avatar'}={take}", "-o", tmp_path / "scene", *flags) == 0
    single, scene = (cv2.imread(str(tmp_path / name / "00004.png")) for name in ("single", "scene"))
    assert np.array_equal(single, scene)


def test_a_dialogue_has_both_names_and_the_sound_at_its_time(folder: Path, tmp_path: Path) -> None:
    text = f'[actor.ben]\navatar = "{folder / "ben.avatar"}"\nmotion = "{folder / "take.json"}"\nstart = 0.2\n'
    scene = tmp_path / "s.toml"
    scene.write_text(text + f'sound = "{folder / "tone.wav"}"\n[camera]\ncamera = "front"\nof = "ben"\n')
    out = tmp_path / "film.mp4"
    assert run(folder / "anna.avatar", "--scene", scene, "-o", out, "--size", "96x64") == 0
    report = json.loads((tmp_path / "film.mp4.report.json").read_text())
    assert [each["name"] for each in report["avatars"]] == ["anna.avatar", "ben.avatar"]
    assert [each["consent"] for each in report["avatars"]] == ["anna agrees", "ben agrees"]
    assert report["motion"] == "idle, take.json" and report["frames"] == 18 and report["width"] == 96
    with av.open(str(out)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)[0]
    first = int(np.flatnonzero(np.abs(sound) > 0.1)[0]) / 48_000
    assert first == pytest.approx(0.2, abs=0.03)


def test_what_does_not_go_with_a_scene_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anna, take, out = folder / "anna.avatar", folder / "take.json", tmp_path / "x.mp4"
    scene = tmp_path / "s.toml"
    scene.write_text("")
    both = f"{anna}={take}"
    assert "in a scene give AVATAR=" in failure(capsys, both, "--motion", take, "-o", out)
    assert "nothing moves in the scene" in failure(capsys, anna, "--scene", scene, "-o", out)
    assert "mesh shows one avatar" in failure(capsys, both, "--passes", "mesh", "-o", out)
    assert "--text goes with one voice" in failure(capsys, both, "--text", "hello", "-o", out)
    assert "no such file, for actor anna" in failure(capsys, f"{anna}={tmp_path / 'none.csv'}", "-o", out)
    assert "no motion after the equals sign" in failure(capsys, f"{anna}=", "-o", out)
    assert "no such scene file" in failure(capsys, both, "--scene", tmp_path / "none.toml", "-o", out)
    scene.write_text("[actor.carl]\nyaw = 3\n")
    assert "actor carl: no avatar has this name" in failure(capsys, both, "--scene", scene, "-o", out)
    assert not out.exists()
