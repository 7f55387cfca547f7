"""Own presets in a session: the sliders saved by a name, and shown again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.motion.presets import FacePreset, read_presets, write_presets
from tests.avatar.driving.puppet import puppet
from viewer.session.edits import Change, RemovePreset, SavePreset, ShowPreset
from viewer.session.pose_sources import SliderPoseSource
from viewer.session.session import Session
from viewer.session.state import Sliders

POSED = Sliders(
    {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}, {"eyelidLeft": 0.2}, (20.0, 5.0, 0.0), (8.0, -4.0), (6.0, 1.0)
)


@cache
def a_puppet() -> Avatar:
    return puppet(load_head())


class Clocked:
    """A session of a puppet whose file is `me.avatar` in a folder, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.now = 10.0
        avatar = a_puppet()
        self.session = Session(avatar, "me.avatar", clock=lambda: self.now, path=folder / "me.avatar")
        self.session.apply([Change("camera", replace(self.session.state.camera, height=32, width=32))])
        self.source = SliderPoseSource(avatar)

    def expression(self, seconds: float = 0.0) -> torch.Tensor:
        """Of the pose that is shown after a time."""
        self.now += seconds
        self.session.advance()
        assert self.session.sources.last_params is not None
        return self.session.sources.last_params.expression[0].clone()


@pytest.fixture
def clocked(tmp_path: Path) -> Clocked:
    return Clocked(tmp_path)


def test_a_saved_face_is_shown_again_as_it_was(clocked: Clocked, tmp_path: Path) -> None:
    session = clocked.session
    session.apply([Change("sliders", POSED), SavePreset(" my grin ")])
    assert session.state.status.message == f"{tmp_path / 'me.presets.json'}: my grin saved, key 1"
    (preset,) = read_presets(tmp_path / "me.presets.json")
    assert session.state.presets == (preset,)
    before = clocked.source.params(POSED)
    session.apply([Change("sliders", Sliders()), ShowPreset(preset)])
    shown = clocked.source.params(session.state.sliders)
    torch.testing.assert_close(shown.expression, before.expression, atol=2e-4, rtol=0)
    torch.testing.assert_close(shown.joint_rot, before.joint_rot, atol=2e-4, rtol=0)
    assert session.state.sliders.head == POSED.head and session.state.sliders.jaw == POSED.jaw


def test_action_units_are_saved_with_their_side(clocked: Clocked, tmp_path: Path) -> None:
    weights = {"mouthSmileLeft": 0.5, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4, "mouthLeft": 0.3}
    clocked.session.apply([Change("sliders", Sliders(weights)), SavePreset("half", as_units=True)])
    (preset,) = read_presets(tmp_path / "me.presets.json")
    assert preset.units == pytest.approx({"AU6": 0.4, "AU12L": 0.5}, abs=0.02)
    assert preset.weights == pytest.approx(weights, abs=0.02)  # mouthLeft is of no unit
    assert clocked.session.state.status.message.endswith("half saved, key 1")


def test_the_face_moves_to_a_preset_within_a_fifth_of_a_second(clocked: Clocked) -> None:
    rest = clocked.expression()
    clocked.session.apply([ShowPreset(FacePreset("open", {"jawOpen": 1.0}))])
    begun, half, done = clocked.expression(), clocked.expression(0.1), clocked.expression(0.101)
    assert torch.equal(begun, rest)
    torch.testing.assert_close(half, (rest + done) / 2)
    assert float((done - rest).max()) > 0.5


def test_a_gaze_beyond_the_expressions_is_said(clocked: Clocked) -> None:
    clocked.session.apply([Change("sliders", Sliders(gaze=(30.0, 0.0))), SavePreset("aside")])
    assert clocked.session.state.status.message.endswith("saved, key 1; without the last 2.0 degrees of the gaze")


def test_the_same_name_replaces_and_a_removed_one_is_gone(clocked: Clocked, tmp_path: Path) -> None:
    session = clocked.session
    session.apply([SavePreset("a"), Change("sliders", POSED), SavePreset("A")])
    assert [(preset.name, preset.key) for preset in session.state.presets] == [("A", 1)]
    session.apply([RemovePreset("a")])
    assert session.state.presets == () == read_presets(tmp_path / "me.presets.json")


def test_what_cannot_be_saved_or_shown_is_said(clocked: Clocked, tmp_path: Path) -> None:
    session = clocked.session
    session.apply([SavePreset("a/b")])
    assert session.state.status.message == "the face is not saved: `name` is 'a/b', expected one without slashes"
    session.apply([ShowPreset(FacePreset("other", {"expr3": 1.0, "jawOpen": 0.5}))])
    assert session.state.status.message == "other: expr3 is no expression of this avatar"
    assert session.state.sliders.weights == {"jawOpen": 0.5}
    assert not (tmp_path / "me.presets.json").exists()
    unsaved = Session(a_puppet(), "me.avatar")
    unsaved.apply([SavePreset("a")])
    assert unsaved.state.status.message == "this avatar has no file yet; save a face when its training is finished"


def test_a_damaged_file_is_said_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "me.presets.json"
    path.write_text('{"headsplat": "presets", "version": 1, "presets": [{}]}')
    before = path.read_bytes()
    session = Clocked(tmp_path).session
    assert session.state.presets == () and session.state.status.failed
    session.apply([SavePreset("a")])
    assert session.state.status.message.startswith(f"{path}: preset 1: no `name` in it")
    assert path.read_bytes() == before


def test_the_presets_of_an_avatar_are_read_with_it(tmp_path: Path) -> None:
    write_presets(tmp_path / "me.presets.json", (FacePreset("grin", key=3),))
    session = Clocked(tmp_path).session
    assert [preset.name for preset in session.state.presets] == ["grin"]
    session.show_avatar(a_puppet(), "other.avatar", tmp_path / "other.avatar")
    assert session.state.presets == ()
