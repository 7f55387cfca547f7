"""Driving: motions of every expression space on avatars of both kinds of heads."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from avatar.driving.driver import DriveOptions, Driver, drive
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.poser import Poser
from avatar.motion.from_capture import motion_of
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, ROOT, HeadParams, Motion
from tests.avatar.motion.made_up import flame_head
from tests.support.tiny import tiny_capture

from .puppet import puppet

PLAIN = DriveOptions(soft_clamp=False, neutral="as-is")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path_factory.getbasetemp() / "bridges"))


@lru_cache(maxsize=2)
def arkit_avatar() -> Avatar:
    return puppet(load_head())


@lru_cache(maxsize=2)
def flame_avatar() -> Avatar:
    return puppet(flame_head())


def motion(space: str, weights: dict[str, float | torch.Tensor], frames: int = 40) -> Motion:
    """A motion at 30 fps with these weights, constant or one per frame, and a head that nods about 0.2 rad."""
    columns = [torch.as_tensor(weight, dtype=torch.float32).expand(frames) for weight in weights.values()]
    joint_rot = torch.zeros(frames, len(JOINT_NAMES), 3)
    joint_rot[:, ROOT, 0] = 0.2 + 0.1 * torch.sin(torch.arange(frames) * torch.pi / 10)
    table = torch.stack(columns, 1) if columns else torch.zeros(frames, 0)
    time = torch.arange(frames, dtype=torch.float64) / 30
    return Motion(time, tuple(weights), table, space, joint_rot, torch.zeros(frames, 3))


def column(avatar: Avatar, params: HeadParams, name: str) -> torch.Tensor:
    return params.expression[:, avatar.head.expression_index(name)]


def skull(avatar: Avatar, params: HeadParams) -> torch.Tensor:
    return axis_angle_to_matrix(params.joint_rot[:, ROOT])


def test_arkit_is_retargeted_by_name_in_any_order() -> None:
    found = drive(arkit_avatar(), motion("arkit52", {"mouthSmileLeft": 0.2, "jawOpen": 0.7}), PLAIN)
    assert column(arkit_avatar(), found.params, "jawOpen") == pytest.approx(0.7)
    assert column(arkit_avatar(), found.params, "mouthSmileLeft") == pytest.approx(0.2)
    assert found.params.expression.sum(1) == pytest.approx(0.9, abs=1e-5)
    assert found.report.unexpressed == ()


def test_an_unknown_expression_in_use_is_reported_by_name_and_an_idle_one_is_not() -> None:
    loud = torch.linspace(0, 1, 40)
    report = drive(arkit_avatar(), motion("arkit52", {"jawOpen": 0.1, "earWiggle": loud, "hairUp": 0.0})).report
    assert [row.name for row in report.unexpressed] == ["earWiggle"]
    assert report.unexpressed[0].peak == pytest.approx(1.0)
    assert report.unexpressed[0].rms == pytest.approx(float(loud.square().mean().sqrt()), abs=1e-4)
    assert "not expressible here: earWiggle (peak 1.00" in report.to_text()


def test_flame_expressions_are_retargeted_by_name_and_missing_modes_are_reported() -> None:
    last = f"expr{len([name for name in flame_head().expression_names if name.startswith('expr')]) + 5}"
    found = drive(flame_avatar(), motion("flame", {"expr0": 1.5, "expr3": -0.5, last: 2.0}), PLAIN)
    assert column(flame_avatar(), found.params, "expr0") == pytest.approx(1.5)
    assert column(flame_avatar(), found.params, "expr3") == pytest.approx(-0.5)
    assert [row.name for row in found.report.unexpressed] == [last]


@pytest.mark.parametrize("avatar", [arkit_avatar, flame_avatar], ids=["arkit", "flame"])
def test_joint_rotations_go_to_the_controls_that_rotate_them_without_loss(avatar: object) -> None:
    subject: Avatar = avatar()  # type: ignore[operator]
    recording = motion("flame", {"expr99": 0.0})
    recording.joint_rot[:, JAW, 0], recording.joint_rot[:, LEFT_EYE, 1] = 0.15, 0.2
    found = drive(subject, recording, PLAIN).params
    assert (column(subject, found, "jawOpen") > 0.2).all() and (column(subject, found, "eyeLookOutLeft") > 0.2).all()
    turned = subject.head.joint_rotations(found)
    expected = axis_angle_to_matrix(recording.joint_rot)
    assert torch.allclose(turned[:, [JAW, LEFT_EYE]], expected[:, [JAW, LEFT_EYE]], atol=1e-4)


def test_flame_without_its_head_on_an_arkit_avatar_reports_the_option_to_give() -> None:
    report = drive(arkit_avatar(), motion("flame", {"expr0": 2.0, "eyelidLeft": 0.9}), PLAIN).report
    assert [row.name for row in report.unexpressed] == ["expr0"]
    assert "--motion-head FILE" in report.to_text()


def test_flames_lids_close_the_eyes_of_an_arkit_avatar() -> None:
    found = drive(arkit_avatar(), motion("flame", {"eyelidLeft": 0.9}), PLAIN).params
    assert column(arkit_avatar(), found, "eyeBlinkLeft") == pytest.approx(0.9)


def test_flame_with_its_head_is_retargeted_to_an_arkit_avatar_through_the_bridge() -> None:
    options = replace(PLAIN, motion_head=flame_head())
    found = drive(arkit_avatar(), motion("flame", {"expr0": 1.0, "expr1": -1.0}), options)
    assert "through a bridge" in found.report.way
    assert found.params.expression.abs().max() > 0.05 and found.report.unexpressed == ()


def test_arkit_is_retargeted_to_a_flame_avatar_through_the_bridge_of_the_embedded_head() -> None:
    found = drive(flame_avatar(), motion("arkit52", {"mouthSmileLeft": 0.8, "jawOpen": 0.5}), PLAIN)
    assert found.report.way == "through a bridge from embedded to made-up FLAME"
    assert (column(flame_avatar(), found.params, "jawOpen") > 0.3).all()
    assert found.params.expression[:, 0].abs().max() > 0


def test_a_motion_head_with_none_of_the_names_is_refused() -> None:
    with pytest.raises(HeadsplatError, match=r"none of its expressions .*with --motion-head"):
        drive(arkit_avatar(), motion("mine", {"grin": 1.0}), DriveOptions(motion_head=flame_head()))


def test_the_neutral_becomes_the_avatars_and_full_weights_stay_full() -> None:
    blink = torch.full((40,), 0.25)
    blink[20] = 1.0
    recording = motion("arkit52", {"eyeBlinkLeft": blink, "mouthPucker": 0.3})
    found = drive(arkit_avatar(), recording, DriveOptions(soft_clamp=False)).params
    assert column(arkit_avatar(), found, "eyeBlinkLeft")[0] == pytest.approx(0.1, abs=1e-6)
    assert column(arkit_avatar(), found, "eyeBlinkLeft")[20] == pytest.approx(1.0)
    assert column(arkit_avatar(), found, "mouthPucker") == pytest.approx(0.1, abs=1e-6)


def test_lips_close_with_those_of_the_source_although_its_neutral_has_open_lips() -> None:
    avatar = puppet(load_head(), neutral=0.0)
    for name in ("mouthLowerDownLeft", "mouthLowerDownRight", "jawOpen"):
        avatar.neutral[avatar.head.expression_index(name)] = 0.2
    talk = 0.3 * (1 - torch.cos(torch.arange(120) / 6))
    found = drive(avatar, motion("arkit52", {"jawOpen": talk}, frames=120), DriveOptions(soft_clamp=False)).params
    marks = avatar.head.landmarks(avatar.head.skull_vertices(found))[:, :, 1]
    gap, rest = marks[:, 13] - marks[:, 14], avatar.head.landmarks(avatar.head.v_template[None])[0, :, 1]
    assert gap.min() < rest[13] - rest[14] + 5e-4
    assert gap.max() > 0.008


def test_a_few_frames_do_not_determine_a_neutral() -> None:
    found = drive(
        arkit_avatar(), motion("arkit52", {"mouthPucker": 0.8}, frames=3), DriveOptions(soft_clamp=False)
    ).params
    assert (column(arkit_avatar(), found, "mouthPucker") > 0.8).all()


def test_relative_heads_rotate_about_the_avatars_mean_pose_with_a_fixed_neck() -> None:
    avatar = arkit_avatar()
    found = drive(avatar, motion("arkit52", {"jawOpen": 0.1})).params
    torso = avatar.rig.torso
    assert torch.allclose(mean_rotation(skull(avatar, found)), torso.mean_rotation, atol=1e-5)
    rotation, offset = avatar.head.skull_pose(found)
    neck = rotation @ torso.pivot + offset
    assert torch.allclose(neck, (torso.mean_rotation @ torso.pivot + torso.mean_translation).expand(40, 3), atol=1e-5)


def test_absolute_heads_rotate_as_recorded_and_still_ones_do_not() -> None:
    avatar, recording = arkit_avatar(), motion("arkit52", {"jawOpen": 0.1})
    absolute = drive(avatar, recording, DriveOptions(head="absolute", soft_clamp=False)).params
    assert torch.allclose(skull(avatar, absolute), axis_angle_to_matrix(recording.joint_rot[:, ROOT]), atol=1e-5)
    still = drive(avatar, recording, DriveOptions(head="still")).params
    assert torch.allclose(skull(avatar, still), avatar.rig.torso.mean_rotation.expand(40, 3, 3), atol=1e-5)


def test_travel_is_scaled() -> None:
    recording = motion("arkit52", {"jawOpen": 0.1})
    recording.translation[:, 0] = torch.linspace(-0.02, 0.02, 40)
    recording = replace(recording, joint_rot=torch.zeros_like(recording.joint_rot))
    found = drive(arkit_avatar(), recording, DriveOptions(travel=0.25)).params.translation
    assert found[:, 0].max() - found[:, 0].min() == pytest.approx(0.01, abs=1e-5)


def test_frames_without_a_face_are_interpolated_and_counted() -> None:
    recording = motion("arkit52", {"jawOpen": torch.linspace(0, 0.2, 40)})
    confidence = torch.ones(40)
    confidence[10:20] = 0
    recording.weights[10:20] = 1.0
    found = drive(arkit_avatar(), replace(recording, confidence=confidence), PLAIN)
    assert torch.allclose(column(arkit_avatar(), found.params, "jawOpen"), torch.linspace(0, 0.2, 40), atol=1e-4)
    assert found.report.without_face == 10
    with pytest.raises(HeadsplatError, match="shows no face in any frame"):
        drive(arkit_avatar(), replace(recording, confidence=torch.zeros(40)))


def test_the_report_lists_soft_clamped_expressions_and_none_without_soft_clamp() -> None:
    jaw = torch.zeros(40)
    jaw[5:9] = 1.0
    recording = motion("arkit52", {"jawOpen": jaw})
    report = drive(arkit_avatar(), recording).report
    assert (report.soft_clamped[0].name, report.soft_clamped[0].frames) == ("jawOpen", 4)
    assert report.soft_clamped[0].wanted == pytest.approx(1.0) and report.soft_clamped[0].shown < 0.6
    assert json.loads(report.to_json())["soft_clamped"][0]["frames"] == 4
    assert drive(arkit_avatar(), recording, DriveOptions(soft_clamp=False)).report.soft_clamped == ()


def test_a_calibrated_driver_gives_the_same_frame_by_frame_and_in_one_call() -> None:
    recording = motion("arkit52", {"jawOpen": torch.linspace(0, 1, 40)})
    driver = Driver.of(arkit_avatar(), recording.names, recording.space)
    driver = driver.calibrated(recording.weights, recording.joint_rot, recording.translation)
    batch = driver(recording.weights, recording.joint_rot, recording.translation)
    one = driver(recording.weights[7:8], recording.joint_rot[7:8], recording.translation[7:8])
    for name in ("expression", "joint_rot", "translation"):
        assert torch.allclose(getattr(batch, name)[7:8], getattr(one, name), atol=1e-6)
    assert torch.equal(drive(arkit_avatar(), recording).params.expression, batch.expression)


def test_the_motion_of_a_capture_has_a_frame_per_time_step_and_drives_as_the_capture(tmp_path: Path) -> None:
    capture, head = tiny_capture(tmp_path / "other", frames=32, size=16, seed=3), load_head()
    recording = motion_of(capture, head)
    assert recording.space == "arkit52" and len(recording) == 32
    rotation, offset = head.skull_pose(capture.params(np.arange(32)))
    assert torch.allclose(axis_angle_to_matrix(recording.joint_rot[:, ROOT]), rotation, atol=1e-5)
    frames = recording.weights, recording.joint_rot, recording.translation
    options = DriveOptions(motion_head=head)
    direct = Driver.of(arkit_avatar(), recording.names, recording.space, options).calibrated(*frames)(*frames)
    found = drive(arkit_avatar(), recording, options).params
    assert torch.allclose(found.expression, direct.expression, atol=1e-6)
    assert matrix_to_axis_angle(skull(arkit_avatar(), found) @ skull(arkit_avatar(), direct).mT).abs().max() < 1e-3
    assert offset.shape == recording.translation.shape


def live_frame(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One frame of two weights, five joints and a position 0.6 m in front of the camera."""
    random = torch.Generator().manual_seed(seed)
    position = torch.tensor([[0.0, 0.0, -0.6]])
    return torch.rand(1, 2, generator=random), 0.1 * torch.randn(1, len(JOINT_NAMES), 3, generator=random), position


LIVE = ("jawOpen", "mouthSmileLeft")


def test_before_calibration_a_driver_keeps_the_avatar_at_its_mean_position() -> None:
    weights, joint_rot, position = live_frame()
    driver = Driver.of(arkit_avatar(), LIVE, "arkit52")
    here, there = driver(weights, joint_rot, position), driver(weights, joint_rot, position + 1)
    assert torch.equal(here.translation, there.translation)
    torso = arkit_avatar().rig.torso
    rotation, offset = arkit_avatar().head.skull_pose(here)
    mean = torso.mean_rotation @ torso.pivot + torso.mean_translation
    assert torch.allclose((rotation @ torso.pivot + offset)[0], mean, atol=1e-5)


def test_no_frames_calibrate_nothing() -> None:
    driver = Driver.of(arkit_avatar(), LIVE, "arkit52")
    assert driver.calibrated(*(values[:0] for values in live_frame())) is driver


def test_calibrating_again_does_not_recompute_properties_of_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver.of(arkit_avatar(), LIVE, "arkit52")
    monkeypatch.delattr("avatar.head.model.HeadModel.expression_motion")
    again = driver.calibrated(*(values.expand(40, *values.shape[1:]) for values in live_frame()))
    assert again.lip_closure is driver.lip_closure
    assert again.trained_range.lid_closure is driver.trained_range.lid_closure


class Calls(TorchDispatchMode):
    """Counts the calls of PyTorch operators, which determine the time of a single frame."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_live_frame_needs_few_calls() -> None:
    driver = Driver.of(arkit_avatar(), LIVE, "arkit52")
    poser = Poser(arkit_avatar())
    poser.poses(driver(*live_frame()))
    with Calls() as calls:
        poser.poses(driver(*live_frame(1)))
    assert calls.count < 520


@pytest.mark.parametrize("avatar", [arkit_avatar, flame_avatar], ids=["arkit", "flame"])
def test_a_driver_creates_all_tensors_on_the_device_of_its_avatar(avatar: object) -> None:
    subject: Avatar = avatar()  # type: ignore[operator]
    names = ("browInnerUp", "expr0")  # the joint rotations go to the controls that rotate them
    calibration = [values.expand(40, *values.shape[1:]) for values in live_frame()]
    expected = Driver.of(subject, names, "flame").calibrated(*calibration)(*live_frame(1))
    frame = live_frame(1)
    with torch.device("meta"):  # a tensor created without a device is on meta and fails in any operation
        found = Driver.of(subject, names, "flame").calibrated(*calibration)(*frame)
    assert torch.equal(found.expression, expected.expression) and found.translation.device.type == "cpu"


def on_device(head: HeadModel, device: str) -> HeadModel:
    """The head with its tensors moved."""
    tensors = {name: value for name, value in vars(head).items() if isinstance(value, torch.Tensor)}
    named = {field.name for field in fields(head)}
    return replace(head, **{name: value.to(device) for name, value in tensors.items() if name in named})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_avatar_on_a_gpu_is_driven_by_cpu_tensors() -> None:
    calibration = [values.expand(40, *values.shape[1:]) for values in live_frame()]
    moved = copy.deepcopy(arkit_avatar()).to("cuda")
    moved.head = on_device(moved.head, "cuda")
    expected = Driver.of(arkit_avatar(), LIVE, "flame").calibrated(*calibration)(*live_frame(1))
    found = Driver.of(moved, LIVE, "flame").calibrated(*calibration)(*live_frame(1))
    assert found.expression.is_cuda
    for name in ("expression", "joint_rot", "translation"):
        assert torch.allclose(getattr(found, name).cpu(), getattr(expected, name), atol=1e-5)


def test_numbered_expressions_without_their_head_are_reported_in_one_line() -> None:
    recording = motion("flame", {f"expr{number}": 1.0 for number in range(30)})
    text = drive(arkit_avatar(), recording).report.to_text()
    assert "none of its expressions, only head, jaw and gaze" in text
    assert "not expressible here: 30 numbered expressions" in text and "--motion-head" in text
