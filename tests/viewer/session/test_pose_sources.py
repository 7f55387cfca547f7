"""Pose sources: the face posed by hand, and a motion that is played frame by frame."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avatar.driving.driver import drive
from avatar.export.posed import posed
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion import read_motion
from avatar.motion.files.names import ARKIT
from avatar.types import JOINT_NAMES, HeadParams, Motion
from tests.avatar.driving.puppet import puppet
from viewer.session.pose_sources import MotionPoseSource, SliderPoseSource
from viewer.session.state import AvatarInfo, Sliders, SourceChoice, State, Timeline

#: Of the 478 landmarks: tip of the nose, top of the forehead, chin, lids of the right and the left eye.
NOSE, FOREHEAD, CHIN = 1, 10, 152
LIDS = ((159, 145), (386, 374))


@cache
def avatar() -> Avatar:
    return puppet(load_head())


@cache
def by_hand() -> SliderPoseSource:
    return SliderPoseSource(avatar())


def params(**parts: object) -> HeadParams:
    return by_hand().params(replace(Sliders(), **parts))  # type: ignore[arg-type]


def landmarks(**parts: object) -> Tensor:
    """[478,3] meters, world."""
    head = avatar().head
    return head.landmarks(head.vertices(params(**parts)))[0]


def opening(**parts: object) -> Tensor:
    """[2] meters between the lids of the right and the left eye."""
    found = landmarks(**parts)
    return torch.stack([found[up, 1] - found[down, 1] for up, down in LIDS])


def state(sliders: Sliders | None = None, timeline: Timeline | None = None) -> State:
    info = AvatarInfo("a.avatar", 6, 0, avatar().head.expression_names, ())
    return State(
        info, (SourceChoice("sliders", "sliders"),), sliders=sliders or Sliders(), timeline=timeline or Timeline()
    )


def test_sliders_at_zero_are_the_avatars_resting_face_and_pose() -> None:
    found, rest = params(), posed(avatar())
    torch.testing.assert_close(found.expression[0], avatar().neutral)
    torch.testing.assert_close(found.joint_rot, rest.joint_rot)
    torch.testing.assert_close(found.translation, rest.translation, atol=1e-5, rtol=0)


def test_only_the_root_rotates_for_a_head_pose() -> None:
    found, rest = params(head=(20.0, 10.0, 5.0)), params()
    assert float((found.joint_rot - rest.joint_rot)[0, 0].norm()) > 0.2
    assert torch.equal(found.joint_rot[:, 1:], rest.joint_rot[:, 1:])
    assert torch.equal(found.expression, rest.expression)


@pytest.mark.parametrize(
    ("head", "point", "axis", "sign"),
    [
        ((20.0, 0.0, 0.0), NOSE, 0, 1),  # to the person's left, which is the image's right
        ((0.0, 20.0, 0.0), NOSE, 1, -1),  # down
        ((0.0, 0.0, 20.0), FOREHEAD, 0, -1),  # to the right shoulder
    ],
)
def test_the_head_moves_in_the_direction_of_the_slider(
    head: tuple[float, float, float], point: int, axis: int, sign: int
) -> None:
    assert sign * float((landmarks(head=head) - landmarks())[point, axis]) > 0.01


def test_the_jaw_joint_opens_and_moves_to_the_persons_left() -> None:
    rest = landmarks()[CHIN]
    assert float((landmarks(jaw=(10.0, 0.0)) - rest)[CHIN, 1]) < -0.005
    assert float((landmarks(jaw=(0.0, 6.0)) - rest)[CHIN, 0]) > 0.003


@pytest.mark.parametrize(
    ("gaze", "names"),
    [
        ((14.0, 0.0), {"eyeLookOutLeft", "eyeLookInRight"}),
        ((-14.0, 0.0), {"eyeLookInLeft", "eyeLookOutRight"}),
        ((0.0, 11.0), {"eyeLookUpLeft", "eyeLookUpRight"}),
        ((0.0, -13.0), {"eyeLookDownLeft", "eyeLookDownRight"}),
    ],
)
def test_gaze_is_applied_as_expressions(gaze: tuple[float, float], names: set[str]) -> None:
    found, head = params(gaze=gaze), avatar().head
    more = (found.expression - params().expression)[0]
    assert {name for name, weight in zip(head.expression_names, more.tolist(), strict=True) if weight > 0.1} == names
    assert float(found.joint_rot[0, 3:].abs().max()) < 1e-6


def test_gaze_beyond_the_expressions_rotates_the_eye_joints() -> None:
    left, right = params(gaze=(35.0, 0.0)).joint_rot[0, 3:].rad2deg()
    assert 5 < float(left[1]) < 9
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "eyeWideRight", "tongueOut", "cheekPuff"])
def test_weight_1_is_the_full_expression(name: str) -> None:
    assert float(params(weights={name: 1.0}).expression[0, avatar().head.expression_index(name)]) == pytest.approx(1)


@pytest.mark.parametrize("others", [{}, {"eyeSquintLeft": 0.8, "eyeLookDownLeft": 0.8, "cheekSquintLeft": 0.7}])
def test_a_full_blink_closes_its_eye_and_lids_do_not_intersect(others: dict[str, float]) -> None:
    right, left = (opening(weights={"eyeBlinkLeft": 1.0, **others}) / opening()).tolist()
    assert -0.15 < left < 0.15  # the rims of the lids overlap a little
    assert right > 0.8


def test_the_head_models_expressions_are_added_and_limited() -> None:
    place = avatar().head.expression_index("jawOpen")
    found = [params(model_weights={"jawOpen": weight}).expression[0, place].item() for weight in (0.0, 0.5, 5.0)]
    assert found == pytest.approx([0.1, 0.6, 1.0])
    both = params(weights={"jawOpen": 0.5}, model_weights={"jawOpen": 0.2}).expression[0, place]
    assert float(both) == pytest.approx(float(params(weights={"jawOpen": 0.5}).expression[0, place]) + 0.2)


def test_soft_clamping_opens_the_jaw_less() -> None:
    place = avatar().head.expression_index("jawOpen")
    assert float(params(weights={"jawOpen": 1.0}, soft_clamp=True).expression[0, place]) < 0.6


def test_sliders_without_a_change_are_not_fresh() -> None:
    hand = SliderPoseSource(avatar())
    poses = [hand.pose(state(sliders)) for sliders in (Sliders(), Sliders(), Sliders({"jawOpen": 0.5}))]
    assert [pose.fresh for pose in poses] == [True, False, True]
    assert poses[0].params is poses[1].params


def motion(frames: int = 5) -> Motion:
    """A jaw that opens, with uneven times."""
    time = torch.cumsum(torch.tensor([0.5, 0.03, 0.04, 0.033, 0.05][:frames], dtype=torch.float64), 0)
    weights = torch.zeros(frames, len(ARKIT_52))
    weights[:, ARKIT_52.index("jawOpen")] = torch.linspace(0, 0.4, frames)
    return Motion(time, ARKIT_52, weights, ARKIT, torch.zeros(frames, len(JOINT_NAMES), 3), torch.zeros(frames, 3))


def timeline_of(source: MotionPoseSource) -> Timeline:
    return Timeline("m", source.times, source.duration)


def test_at_a_frames_time_the_pose_is_that_of_offline_rendering() -> None:
    source, driven = MotionPoseSource(avatar(), motion()), drive(avatar(), motion())
    for frame in range(5):
        found = source.pose(state(timeline=timeline_of(source).at_frame(frame))).params
        assert torch.equal(found.expression, driven.params[frame].expression)
        assert torch.equal(found.joint_rot, driven.params[frame].joint_rot)


def test_a_frame_is_shown_until_the_next_one() -> None:
    source = MotionPoseSource(avatar(), motion())
    times = [0.0, 0.0299, 0.03, 0.0699, 0.07, 0.1529, 0.153, source.duration, 99.0]
    assert [replace(timeline_of(source), time=time).frame for time in times] == [0, 0, 1, 1, 2, 3, 4, 4, 4]


def test_the_last_frame_is_shown_as_long_as_the_others() -> None:
    assert MotionPoseSource(avatar(), motion()).duration == pytest.approx(0.153 * 5 / 4)
    assert MotionPoseSource(avatar(), motion(1)).duration == pytest.approx(1 / 30)


def test_a_pose_is_fresh_when_the_frame_changes() -> None:
    source = MotionPoseSource(avatar(), motion())
    shown = [source.pose(state(timeline=timeline_of(source).at_frame(frame))).fresh for frame in (0, 0, 1, 1, 0)]
    assert shown == [True, False, True, False, True]


def test_frames_beyond_the_ends_are_the_first_and_last() -> None:
    timeline = timeline_of(MotionPoseSource(avatar(), motion()))
    assert [timeline.at_frame(frame).frame for frame in (-3, 0, 4, 17)] == [0, 0, 4, 4]


def test_the_notes_of_a_file_in_which_nothing_moves_say_so(tmp_path: Path) -> None:
    found = []
    for name, last in (("still.json", 0.3), ("moving.json", 0.4)):
        frames = [{"weights": [0.3]}] * 9 + [{"weights": [last]}]
        (tmp_path / name).write_text(json.dumps({"names": ["jawOpen"], "frames": frames}))
        found.append(MotionPoseSource(avatar(), read_motion(tmp_path / name)).notes)
    still = "nothing moves in this motion: all frames are the same"
    assert still in found[0] and still not in found[1]
