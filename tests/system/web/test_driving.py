"""Poses of the page are those of the engine: sliders, the trained range, dropped and packed motions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.driving.driver import drive
from avatar.driving.trained_range import TrainedRange
from avatar.export.posed import posed
from avatar.export.web import WebMotion, web_container
from avatar.model.avatar import Avatar
from avatar.motion import read_motion
from avatar.types import HeadParams
from tests.support.browser import Page
from tests.system.web.conftest import HEADER
from viewer.web.page import build_page

#: float32 in the engine, float64 in the page
ATOL = 2e-5
FRAMES = 60
NAMES = ("EyeBlinkLeft", "EyeBlinkRight", "JawOpen", "MouthClose", "MouthSmileLeft", "EyeLookOutLeft", "BrowInnerUp")
ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")


def take(frames: int = FRAMES) -> str:
    """A Live Link take that blinks, talks and turns the head; one row has no face."""
    lines = [",".join(("Timecode", "BlendShapeCount", *NAMES, *ANGLES))]
    for k in range(frames):
        swing = [0.5 + 0.5 * np.sin(0.3 * k * (n + 1) + n) for n in range(len(NAMES))]
        angles = [0.3 * np.sin(0.2 * k), 0.1 * np.cos(0.3 * k), 0.05 * np.sin(0.5 * k)]
        cells = [f"00:00:{k // 30:02d}:{2 * (k % 30):02d}.000", "61", *(f"{v:.6f}" for v in (*swing, *angles))]
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def assert_params(found: dict[str, list[float]], expected: HeadParams, frame: int = 0, atol: float = ATOL) -> None:
    np.testing.assert_allclose(found["expression"], expected.expression[frame], atol=atol, err_msg="expression")
    np.testing.assert_allclose(found["jointRot"], expected.joint_rot[frame].flatten(), atol=atol, err_msg="joints")
    np.testing.assert_allclose(found["translation"], expected.translation[frame], atol=atol, err_msg="translation")


@pytest.mark.parametrize(
    ("weights", "turn"),
    [
        ({}, (0, 0, 0)),
        ({"jawOpen": 1.0, "mouthClose": 0.6, "tongueOut": 1.0}, (40, -30, 20)),
        ({"eyeBlinkLeft": 1.0, "eyeSquintLeft": 1.0, "eyeBlinkRight": 0.7, "eyeWideLeft": 0.5}, (0, 30, -30)),
        ({"eyeLookUpLeft": 1.0, "eyeLookDownRight": 1.0, "eyeLookOutLeft": 1.0, "eyeLookOutRight": 1.0}, (-5, 0, 0)),
    ],
)
@pytest.mark.parametrize("limited", [True, False])
def test_sliders_pose_the_avatar_as_the_engine_does(
    shown: Page, layered: Avatar, weights: dict[str, float], turn: tuple[float, float, float], limited: bool
) -> None:
    shown.run(f"document.getElementById('limited').checked = {json.dumps(limited)}")
    shown.run(f"app.turn = {json.dumps(turn)}; app.sliders.set({json.dumps(weights)})")
    expected = posed(layered, weights, turn)
    assert_params(shown.run("app.params()"), TrainedRange.of(layered)(expected) if limited else expected)


def test_a_gaze_turns_both_eyes_by_their_expressions(shown: Page, layered: Avatar) -> None:
    shown.run("document.getElementById('limited').checked = false; app.turn = [0, 0, 0]")
    shown.run("app.sliders.set({}); app.gaze = [0.5, -0.25]")
    looks = {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, "eyeLookDownLeft": 0.25, "eyeLookDownRight": 0.25}
    assert_params(shown.run("app.params()"), posed(layered, looks))
    shown.run("app.gaze = [0, 0]; document.getElementById('limited').checked = true")


@pytest.mark.parametrize("frames", [FRAMES, 10])
def test_a_dropped_take_is_retargeted_as_by_the_driver(
    shown: Page, layered: Avatar, tmp_path: Path, frames: int
) -> None:
    path = tmp_path / "take.csv"
    path.write_text(take(frames), encoding="utf-8")
    drop(shown, "take.csv", take(frames))
    shown.wait(f"app.playback.motion && app.playback.controls.seek.max > {frames / 30 - 0.1:g} - 0.01")
    result = drive(layered, read_motion(path))
    for frame in (0, frames // 2, frames - 1):
        found = shown.run(f"app.playback.motion.paramsAt({float(result.time[frame])!r})")
        assert_params(found, result.params, frame)


def test_json_of_named_weights_is_retargeted_as_by_the_driver(shown: Page, layered: Avatar, tmp_path: Path) -> None:
    frames = [{"weights": [0.02 * k, 0.5], "time": k / 25, "rotation": [0.01 * k, 0.02 * k, 0.0]} for k in range(40)]
    text = json.dumps({"names": ["jawOpen", "mouthSmile_L"], "frames": frames})
    path = tmp_path / "take.json"
    path.write_text(text, encoding="utf-8")
    drop(shown, "take.json", text)
    shown.wait("app.playback.motion?.name === 'take.json'")
    result = drive(layered, read_motion(path))
    assert_params(shown.run(f"app.playback.motion.paramsAt({float(result.time[17])!r})"), result.params, 17)


def drop(page: Page, name: str, text: str) -> None:
    """Drop a file on the page."""
    page.run(
        "(() => { const dataTransfer = new DataTransfer(); dataTransfer.items.add(new File("
        f"[{json.dumps(text)}], {json.dumps(name)})); "
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true })); })()"
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "time,jawOpen\n0,1\n",
            "a.csv is not a Live Link CSV file, ARKit JSON or .motion.npz; drop one of these.",
        ),
        (
            "b.csv",
            "Timecode,BlendShapeCount,JawOpen\nnever,61,0\n",
            "b.csv, line 2 has no timecode HH:MM:SS:FF; repair",
        ),
        (
            "c.csv",
            "Timecode,BlendShapeCount,JawOpen\n00:00:00:00,61,x\n",
            "c.csv, line 2 has a value that is not a num",
        ),
        ("d.csv", "Timecode,BlendShapeCount,JawOpen\n00:00:00:00,0\n", "d.csv has no frame with a face; record the"),
        ("e.csv", "Timecode,BlendShapeCount,Wag\n00:00:00:00,61,0\n", "e.csv has none of the expressions of this avat"),
        ("f.json", "{", "f.json is not valid JSON; export it again."),
        ("g.json", '{"names": ["jawOpen"], "frames": [{"weights": []}]}', "g.json, frame 0 does not have 1 weights; "),
    ],
)
def test_a_file_that_cannot_be_played_gives_one_sentence(shown: Page, name: str, text: str, message: str) -> None:
    drop(shown, name, text)
    shown.wait(f"document.getElementById('message').textContent.startsWith('{name}')")
    assert shown.run("document.getElementById('message').textContent").startswith(message)


def test_a_packed_motion_has_the_parameters_of_its_frames(page: Page, layered: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    path.write_text(take(), encoding="utf-8")
    result = drive(layered, read_motion(path))
    torso = torch.linspace(-1, 1, 6 * FRAMES).view(FRAMES, 6)
    motion = WebMotion("take", result.time - result.time[0], result.params, layered.rig.torso.pose(torso))
    file = tmp_path / "me.html"
    file.write_text(build_page(web_container(layered, HEADER, "me", motion), "me"), encoding="utf-8")
    page.call("Page.navigate", url=file.as_uri())
    page.wait("typeof headsplat === 'object'")
    page.run("headsplat.then((app) => { globalThis.app = app; app.playback.toggle(); })")
    found = page.run(f"app.playback.motion.paramsAt({float(result.time[20])!r})")
    # int16 over the range of each expression, float32 times
    np.testing.assert_allclose(found["expression"], result.params.expression[20], atol=1e-4)
    np.testing.assert_allclose(found["jointRot"], result.params.joint_rot[20].flatten(), atol=1e-4)
    np.testing.assert_allclose(found["torso"], torso[20], atol=1e-4)
