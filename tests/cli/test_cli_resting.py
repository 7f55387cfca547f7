"""A motion that was saved and read again is driven alike everywhere: by its `Motion.resting`, and by nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import avatar as public
from avatar import cli
from avatar.driving.driver import DriveOptions, Driver
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.jobs.driven_motion import DrivingSource
from avatar.jobs.motion_options import MotionOptions
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.motion import read_motion
from avatar.performance.readout.take import read_take
from avatar.types import HeadParams, Motion
from tests.avatar.driving.puppet import puppet
from tests.support.resting import FILES, FRAMES, PERSON, grimace, motions, other, write_files
from viewer.session.edits import Change
from viewer.session.opening import OpenedMotion, open_any
from viewer.session.session import Session


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both motions in every format, and the avatar."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    subject = grimace(puppet(load_head()))
    subject.provenance = {"steps": 0}
    save_avatar(folder / "a.avatar", subject)
    return folder


@pytest.fixture(scope="module")
def subject(files: Path) -> Avatar:
    return load_avatar(files / "a.avatar")


def expected(subject: Avatar, motion: Motion) -> HeadParams:
    """What every way shows: the kind of the motion is known from its name, and each has its own steps."""
    frames = motion.weights, motion.joint_rot, motion.translation
    driver = Driver.of(subject, motion.names, motion.space)
    if motion.resting == "find":
        return driver.calibrated(*frames)(*frames)
    assert driver.lip_closure is not None
    closed = driver.lip_closure.close(subject.neutral, subject.neutral[None])
    driver = replace(driver, avatar_neutral=closed, mean_position=torch.zeros(3))
    driver = replace(driver, lip_contact=Driver.for_motion(subject, motions()["speech"]).lip_contact)
    return driver(*frames)


def assert_same(found: HeadParams, wanted: HeadParams) -> None:
    for name in ("expression", "joint_rot", "translation"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name


@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_how_its_motion_rests(files: Path, name: str) -> None:
    assert read_motion(files / name).resting == motions()[name.split(".")[0]].resting


@pytest.mark.parametrize("name", FILES)
def test_python_drives_a_file_by_its_resting(files: Path, subject: Avatar, name: str) -> None:
    motion = read_motion(files / name)
    wanted = expected(subject, motion)
    assert_same(public.drive(subject, motion).params, wanted)
    driver = Driver.for_motion(subject, motion)
    assert_same(driver(motion.weights, motion.joint_rot, motion.translation), wanted)
    swapped = public.drive(subject, other(motion)).params
    assert (swapped.expression - wanted.expression).abs().max() > 0.05
    assert (swapped.joint_rot - wanted.joint_rot).abs().max() > 0.05


@pytest.mark.parametrize("name", FILES)
def test_render_drives_a_file_by_its_resting(files: Path, subject: Avatar, name: str) -> None:
    driven = DrivingSource.load(files / name, MotionOptions()).drive(files / "a.avatar", None)
    assert_same(driven.params, expected(subject, read_motion(files / name)))


@pytest.mark.parametrize("name", FILES)
def test_the_window_drives_a_file_by_its_resting(files: Path, subject: Avatar, name: str) -> None:
    now = 100.0
    session = Session(subject, "a.avatar", clock=lambda: now)
    try:
        session.apply([Change("camera", replace(session.state.camera, height=16, width=16))])
        opened = open_any(files / name, subject)
        assert isinstance(opened, OpenedMotion)
        session.show(opened)
        session.apply([Change("timeline", replace(session.state.timeline, playing=False))])
        now += 2.0  # after the blend from the sliders
        session.advance()
        session.apply([Change("timeline", session.state.timeline.at_frame(FRAMES // 2))])
        session.advance()
        shown = session.sources.last_params
    finally:
        session.close()
    assert shown is not None
    assert_same(shown, expected(subject, read_motion(files / name))[FRAMES // 2 : FRAMES // 2 + 1])


@pytest.mark.parametrize("name", FILES)
def test_info_reports_a_file_as_it_is_driven(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    motion = read_motion(files / name)
    assert cli.main(["motion", "info", str(files / name), "--avatar", str(files / "a.avatar"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    report = public.drive(load_avatar(files / "a.avatar"), motion).report
    assert found["resting"] == found["drive"]["resting"] == motion.resting
    assert found["drive"] == json.loads(report.to_json())
    line = "resting face: zero weights" if motion.resting == "zero" else "resting face: found in the frames"
    assert cli.main(["motion", "info", str(files / name)]) == 0
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", FILES)
def test_readings_remove_the_resting_face_that_a_file_has(files: Path, name: str) -> None:
    motion = read_motion(files / name)
    rest = read_take(motion).rest
    if motion.resting == "zero":
        assert not rest.any()
        return
    for expression in ("browInnerUp", "mouthSmileLeft", "eyeBlinkRight"):  # they do not move
        assert rest[ARKIT_52.index(expression)] == pytest.approx(PERSON[expression], abs=1e-3)


@pytest.mark.parametrize("source", FILES)
@pytest.mark.parametrize("target", ["out.csv", "out.json", "out.motion.npz"])
def test_conversion_keeps_how_a_motion_rests(files: Path, tmp_path: Path, source: str, target: str) -> None:
    options = ["--fps", "20", "--trim", "0.1:1.5", "--smooth", "0.05", "--gain", "brows=1.1"]
    assert cli.main(["motion", "convert", str(files / source), "-o", str(tmp_path / target), *options]) == 0
    assert read_motion(tmp_path / target).resting == read_motion(files / source).resting


@pytest.mark.parametrize("suffix", [".csv", ".json", ".motion.npz"])
def test_a_mix_takes_the_resting_face_of_a_recording_only(files: Path, tmp_path: Path, suffix: str) -> None:
    brow, smile = ARKIT_52.index("browInnerUp"), ARKIT_52.index("mouthSmileLeft")
    for name in ("person", "speech"):
        out = tmp_path / f"{name}{suffix}"
        assert cli.main(["motion", "mix", str(files / f"{name}{suffix}"), "-o", str(out)]) == 0
        found = read_motion(out)
        assert found.resting == "zero"
        assert found.weights[:, brow].abs().max() < 1e-6
        assert found.weights[:, smile].mean() == pytest.approx(0.4 if name == "speech" else 0, abs=1e-6)


def test_an_option_declares_that_zero_weights_are_the_resting_face(files: Path, subject: Avatar) -> None:
    source = DrivingSource.load(files / "person.csv", MotionOptions(neutral="zero"))
    found = source.drive(files / "a.avatar", None).params
    assert_same(found, expected(subject, replace(read_motion(files / "person.csv"), resting="zero")))


def test_weights_as_they_are_stay_so_for_both(files: Path, subject: Avatar) -> None:
    for name in ("person.csv", "speech.csv"):
        motion = read_motion(files / name)
        options = DriveOptions(neutral="as-is", soft_clamp=False)
        brows = public.drive(subject, motion, options).params.expression[
            :, subject.head.expression_index("browInnerUp")
        ]
        assert torch.allclose(brows, motion.weights[:, ARKIT_52.index("browInnerUp")])
