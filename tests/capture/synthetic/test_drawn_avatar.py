"""The avatar of a random person: exact poses, the same person for the same seed, errors in one sentence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatar.cli.command_line import run
from avatar.common.image_io import read_image
from avatar.data.capture_folder import MATTES_DIR, frame_name
from avatar.head import load_head
from avatar.model.avatar_file import read_avatar
from capture.synthetic import drawn_avatar
from capture.synthetic.exact_capture import CONSENT, write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.video import SyntheticScene


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    """Two time steps of a random person, from two cameras."""
    return SyntheticScene(SyntheticOptions(seed=4, person="random", width=96, height=128, frames=2, cameras=2))


def test_the_track_is_the_truth(scene: SyntheticScene, tmp_path: Path) -> None:
    capture = write_exact_capture(tmp_path / "capture", scene)
    truth = scene.truth()
    assert len(capture) == 4
    rows = np.arange(4)
    params = capture.params(rows)
    rotation, translation = scene._person.head.skull_pose(params)
    np.testing.assert_allclose(rotation, truth.skull_rotation[[0, 0, 1, 1]], atol=1e-5)
    np.testing.assert_allclose(translation, truth.skull_translation[[0, 0, 1, 1]], atol=1e-5)
    assert torch.equal(params.expression[0], params.expression[1])
    # The true landmarks lie on the rendered person.
    for row in range(4):
        points = capture.track["landmarks"][row, :, :2].round().astype(int)
        inside = ((points >= 0) & (points < (96, 128))).all(1)
        matte = read_image(capture.root / MATTES_DIR / frame_name(row), cv2.IMREAD_GRAYSCALE)
        assert matte is not None
        assert matte[points[inside, 1], points[inside, 0]].mean() > 0.9 * 255


def test_a_seed_draws_one_person(scene: SyntheticScene) -> None:
    same = SyntheticScene(scene.options)
    assert np.array_equal(same.frame(0), scene.frame(0))


def test_the_command_writes_an_avatar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_avatar, "_TRAINING_STEPS", 3)
    monkeypatch.setattr(drawn_avatar, "_SIZE", (96, 128))
    monkeypatch.setattr(drawn_avatar, "_STEPS", 3)
    path = tmp_path / "person.avatar"
    assert run(["synth", "--avatar", "--seed", "4", "-o", str(path)]) == 0
    header, avatar = read_avatar(path)
    assert header["consent"] == CONSENT
    assert avatar.head.expression_names == load_head().expression_names


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--frames", "9"], "synth: --frames is an option of the footage; leave it out with --avatar"),
        (["--person", "nobody"], "choose one of ines, kofi, noor, vera, random."),
    ],
)
def test_wrong_options(options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["synth", "--avatar", "-o", str(tmp_path / "person.avatar"), *options]) != 0
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "person.avatar").exists()
