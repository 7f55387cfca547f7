"""`--relight` of render, export and the window: what it changes, and its sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.export.posed import posed
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.light.lights import light_named
from avatar.model.parts.light.relight import Relighting
from avatar.types import Camera
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewSettings


@pytest.fixture(scope="module")
def me(tiny_avatar: Avatar, tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("relight") / "me.avatar"
    save_avatar(path, tiny_avatar, {"capture": capture_entry(tiny)})
    return path


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    assert cli.main([*map(str, arguments)]) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_a_relit_frame_has_the_tint_of_its_light(me: Path, tiny: Capture, tmp_path: Path) -> None:
    for name, more in (("plain", ()), ("sunset", ("--relight", "sunset", "--relight-turn", "-30"))):
        command = ["render", me, "--motion", tiny.root, "--frames", "3:4", "-o", tmp_path / name, *more]
        assert cli.main([*map(str, command)]) == 0
    plain, sunset = (
        cv2.imread(str(tmp_path / name / "00003.png")).astype(float).reshape(-1, 3).mean(0)
        for name in ("plain", "sunset")
    )
    assert sunset[0] / sunset[2] < 0.95 * plain[0] / plain[2]  # blue over red


def test_a_relit_export_has_other_colors(me: Path, tmp_path: Path) -> None:
    for name, more in (("a.ply", ()), ("b.ply", ("--relight", "window-left")), ("c.hsa", ("--relight", "rim"))):
        assert cli.main([*map(str, ["export", me, "-o", tmp_path / name, *more])]) == 0
    assert (tmp_path / "a.ply").read_bytes() != (tmp_path / "b.ply").read_bytes()


def test_errors_are_one_sentence_and_nothing_is_written(
    me: Path, tiny: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    square = tmp_path / "square.png"
    cv2.imwrite(str(square), np.full((32, 32, 3), 90, np.uint8))
    out = tmp_path / "out.mp4"
    command = ("render", me, "--motion", tiny.root, "-o", out)
    assert "got 'disco'" in failure(capsys, *command, "--relight", "disco")
    assert "twice as wide as high" in failure(capsys, *command, "--relight", square)
    assert "give --relight NAME" in failure(capsys, *command, "--relight-turn", 30)
    assert "expected 0 to 1, got 2" in failure(capsys, *command, "--relight", "studio", "--relight-strength", 2)
    assert not out.exists()


def test_the_window_shows_a_light_and_then_the_own_one_again(tiny_avatar: Avatar) -> None:
    renderer, camera = Renderer(tiny_avatar), Camera.facing(90, 48, 48)
    params, relighting = posed(tiny_avatar), Relighting(light_named("underlight"))

    def image(light: Relighting | None) -> torch.Tensor:
        return torch.from_numpy(renderer.render(params, camera, ViewSettings(relighting=light)).copy()).int()

    before, lit, turned, after = (
        image(light) for light in (None, relighting, Relighting(relighting.light, 90.0), None)
    )
    assert torch.equal(before, after) and tiny_avatar.part(HeadLight) is None
    assert int((lit - before).abs().max()) > 5 and int((lit - turned).abs().max()) > 2
