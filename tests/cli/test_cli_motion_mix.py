"""`headsplat motion mix`, and stacks wherever a command reads a motion."""

from __future__ import annotations

import json
import wave
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar_file import save_avatar
from avatar.motion import read_motion, write_motion
from avatar.performance.mixing.mouth import mouth_model
from avatar.types import Motion
from tests.avatar.driving.puppet import puppet
from tests.avatar.performance.mixing.made_up import column, padded, talking
from tests.support.tiny import tiny_capture


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_motion(tmp_path / "take.motion.npz", talking(seed=1))
    write_motion(tmp_path / "speech.motion.npz", talking(seed=2, rate=3.0))
    return tmp_path


def run(folder: Path, *arguments: str) -> Motion:
    out = folder / "mixed.motion.npz"
    paths = [str(folder / item) if item.strip() and (folder / item).exists() else item for item in arguments]
    assert cli.main(["motion", "mix", *paths, "-o", str(out), "--overwrite"]) == 0
    return read_motion(out)


def error(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    paths = [str(folder / item) if item.strip() and (folder / item).exists() else item for item in arguments]
    assert cli.main(["motion", "mix", *paths, "-o", str(folder / "none.motion.npz")]) == 1
    assert not (folder / "none.motion.npz").exists()
    return capsys.readouterr().err


def test_a_stack_file_is_mixed_and_summarized(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "s.toml").write_text(
        '[[layer]]\nsource = "take.motion.npz"\n'
        '[[layer]]\nsource = "speech.motion.npz"\nregions = "mouth"\nclosures = true\n'
    )
    found = run(files, "s.toml")
    take, speech = (read_motion(files / f"{name}.motion.npz") for name in ("take", "speech"))
    assert np.array_equal(column(found, "browInnerUp"), column(take, "browInnerUp")) and found.resting == "zero"
    assert np.corrcoef(column(found, "jawOpen"), column(speech, "jawOpen"))[0, 1] > 0.9
    text = capsys.readouterr().out
    assert "layer 2: speech.motion.npz (motion): replace mouth, 0.00 s to 4.00 s" in text
    assert "lip closures kept" in text and "121 frames, 30 fps" in text


def test_the_quick_form_adds_layers_on_a_motion(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--speech", "speech.motion.npz", "--emotion", "laugh", "--intensity", "0.5")
    found = run(files, "take.motion.npz", *options, "--amplify", "brows=1.5", "--opening-mm", "12", "--fps", "60")
    assert found.rate == pytest.approx(60) and len(found) == 241
    assert mouth_model().gap(padded(found)).max() == pytest.approx(12, abs=0.05)
    assert column(found, "mouthSmileLeft").max() == pytest.approx(0.4, abs=0.01)
    text = capsys.readouterr().out
    assert "layer 3: laugh (preset): add face at 0.5" in text and "lip closures kept" in text


def test_options_come_on_top_of_a_stack_file(files: Path) -> None:
    (files / "s.toml").write_text('fps = 25\n[[layer]]\nsource = "take.motion.npz"\n')
    found = run(files, "s.toml", "--emotion", "surprise", "--seed", "3")
    assert found.rate == pytest.approx(25) and column(found, "eyeWideRight").min() == pytest.approx(0.8)


def test_words_describe_an_emotion(files: Path) -> None:
    found = run(files, "take.motion.npz", "--emotion", "big smile")
    assert column(found, "mouthSmileLeft").min() > 0.3


def test_a_photo_is_an_emotion(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def photographed(paths: list[Path], out: Path) -> Capture:
        assert [path.name for path in paths] == ["face.jpg"]
        return tiny_capture(out, frames=8, size=16)

    monkeypatch.setattr("capture.photos.capture_photos", photographed)
    (files / "face.jpg").write_bytes(b"")
    (files / "s.toml").write_text(
        '[[layer]]\nsource = "take.motion.npz"\n[[layer]]\nsource = "face.jpg"\nregions = "lips"\n'
    )
    expected = tiny_capture(files / "c", frames=8, size=16).params(np.arange(8)).expression[0]
    smile = float(expected[load_head().expression_index("mouthSmileLeft")])
    assert column(run(files, "s.toml"), "mouthSmileLeft") == pytest.approx(smile, abs=0.01)


def test_a_sound_is_spoken(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("avatar.performance.speech.listen")
    with wave.open(str(files / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        tone = 8000 * np.sin(2 * np.pi * 150 * np.arange(16000) / 16000)
        sound.writeframes(tone.astype("<i2").tobytes())
    assert len(run(files, "take.motion.npz", "--speech", "a.wav")) == 121
    assert "layer 2: a.wav (speech): replace mouth, 0.00 s to" in capsys.readouterr().out


def test_smoothing_keeps_the_range(files: Path) -> None:
    rough, smooth = run(files, "take.motion.npz"), run(files, "take.motion.npz", "--smooth-lag", "0.1")
    assert not torch.equal(rough.weights, smooth.weights)
    assert column(smooth, "jawOpen").max() > 0.9 * column(rough, "jawOpen").max()


@pytest.mark.parametrize("name", ["mixed.csv", "mixed.json", "mixed.motion.npz"])
def test_every_format_of_a_mix_rests_at_zero(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / name
    assert cli.main(["motion", "mix", str(files / "take.motion.npz"), "-o", str(out)]) == 0
    assert "neutral" not in capsys.readouterr().err
    found = read_motion(out)
    assert len(found) == 121 and found.resting == "zero"


def test_a_stack_is_read_wherever_a_motion_is(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "s.toml").write_text('duration = 2\nfps = 30\n[[layer]]\nsource = "smile"\n')
    assert cli.main(["motion", "info", str(files / "s.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 60
    assert cli.main(["motion", "convert", str(files / "s.toml"), "-o", str(files / "c.csv"), "--motion-fps", "10"]) == 0
    assert len(read_motion(files / "c.csv")) == 20


def test_rendering_a_mix_shows_a_constant_smile(files: Path) -> None:
    from avatar.jobs.driven_motion import DrivingSource
    from avatar.jobs.motion_options import MotionOptions

    avatar = puppet(load_head())
    avatar.provenance = {"steps": 0}
    save_avatar(files / "a.avatar", avatar)
    run(files, "take.motion.npz", "--emotion", "smile")
    (files / "s.toml").write_text('[[layer]]\nsource = "take.motion.npz"\n[[layer]]\nsource = "smile"\n')
    smile = load_head().expression_names.index("mouthSmileLeft")
    weights = []
    cases: tuple[tuple[str, Literal["resting", "zero"]], ...] = (
        ("mixed.motion.npz", "resting"),
        ("s.toml", "resting"),
        ("mixed.motion.npz", "zero"),
    )
    for name, neutral in cases:
        source = DrivingSource.load(files / name, replace(MotionOptions(), neutral=neutral))
        weights.append(source.drive(files / "a.avatar", None).params.expression[:, smile])
    assert weights[0].min() > 0.3 and torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.csv",), "missing.csv: no such file; check the layer's source"),
        (("missing.toml",), "missing.toml: no such stack file; check its path"),
        (
            ("take.motion.npz", "--intensity", "0.5"),
            "--intensity: only used with --emotion; give both, or leave it out",
        ),
        (("take.motion.npz", "--text", "hello"), "--text: only used with --speech; give both, or leave it out"),
        (
            ("take.motion.npz", "--emotion", " "),
            "--emotion: expected a face in words, such as smile, got an empty text",
        ),
        (("take.motion.npz", "--speech", "x.wav", "--text", ""), "--text: expected words, got an empty text"),
        (("take.motion.npz", "--speech", "x.wav"), "x.wav: no such file; check the layer's source"),
        (("take.motion.npz", "--amplify", "brows"), "--amplify: 'brows' is not a factor; give NAME=NUMBER"),
        (("take.motion.npz", "--amplify", "brow=1"), "--amplify: no region or expression 'brow'; did you mean brows?"),
        (("take.motion.npz", "--amplify", "brows=9"), "--amplify: brows is 9.0, expected a factor from 0 to 1.5"),
        (
            ("take.motion.npz", "--amplify", "head=1"),
            "--amplify: head has no expressions; scale the head's motion with",
        ),
        (("take.motion.npz", "--opening-mm", "90"), "--opening-mm: expected 0 to 45, got 90"),
        (("take.motion.npz", "--smooth-lag", "nan"), "--smooth-lag: expected 0 to 0.5, got nan"),
    ],
)
def test_bad_arguments_are_refused(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in error(files, capsys, *arguments)


def test_an_input_is_not_overwritten(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "s.toml").write_text('[[layer]]\nsource = "take.motion.npz"\n')
    take = files / "take.motion.npz"
    for base in ("s.toml", "take.motion.npz"):
        assert cli.main(["motion", "mix", str(files / base), "-o", str(take), "--overwrite"]) == 1
        assert "is also an input of this command" in capsys.readouterr().err
