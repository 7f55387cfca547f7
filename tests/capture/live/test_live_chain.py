"""From pictures to the parameters of an avatar, on networks that read the truth off the pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from avatar.model import Avatar
from capture.live import CalibrationOptions, FaceInput, LiveChain, LiveOptions, LivePose
from capture.live.camera import FileFeed
from capture.live.learning import LearnOptions
from tests.capture.fake_video import NO_FACE, FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)
CALIBRATION = CalibrationOptions(seconds=0.4)
HIDDEN = range(45, 60)


def driven(avatar: Avatar, video: FakeVideo) -> tuple[LiveChain, list[LivePose]]:
    source = FaceInput(FileFeed(video, "all"), pace="all", models=fake_models(), learn=LEARN)
    chain, poses = LiveChain(avatar, source, LiveOptions(calibration=CALIBRATION, clock="source")), []
    chain.start()
    while not source.finished:
        pose = chain.latest()
        if pose.fresh or (pose.phase == "lost" and poses and poses[-1].phase != "lost"):
            poses.append(pose)
    chain.stop()
    return chain, poses


@pytest.fixture(scope="module")
def hidden(tiny_avatar: Avatar) -> tuple[LiveChain, list[LivePose]]:
    """A face that is hidden for half a second."""
    return driven(tiny_avatar, FakeVideo(75, dict.fromkeys(HIDDEN, NO_FACE)))


def test_a_face_is_learnt_calibrated_and_drives(hidden: tuple[LiveChain, list[LivePose]]) -> None:
    phases = list(dict.fromkeys(pose.phase for pose in hidden[1]))
    assert phases == ["calibrating", "driving", "lost"]
    assert [pose for pose in hidden[1] if pose.fresh][-1].phase == "driving"


def test_when_the_video_ends_the_avatar_is_let_go(hidden: tuple[LiveChain, list[LivePose]]) -> None:
    assert hidden[1][-1].phase == "lost"


def test_every_stage_is_stamped_in_order(hidden: tuple[LiveChain, list[LivePose]]) -> None:
    stamps = hidden[1][-1].stamps
    assert list(stamps) == ["camera", "taken", "landmarks", "fit", "picked up", "smoothed", "parameters"]
    assert sorted(stamps.values()) == list(stamps.values())


def test_the_avatar_turns_as_the_driver_does(hidden: tuple[LiveChain, list[LivePose]]) -> None:
    turns = np.array(
        [
            (float(pose.sample.joint_rot[0, 1]), float(pose.params.joint_rot[0, 0, 1]))
            for pose in hidden[1]
            if pose.sample
        ]
    )
    # the avatar eases the ends of a turn it was not trained for
    assert np.corrcoef(turns[10:].T)[0, 1] > 0.8


def test_the_face_that_returns_drives_within_half_a_second(hidden: tuple[LiveChain, list[LivePose]]) -> None:
    back = [pose.sample.source_time for pose in hidden[1] if pose.fresh and pose.sample and pose.phase == "driving"]
    after = min(time for time in back if time is not None and time >= HIDDEN.stop / 30)
    assert after - HIDDEN.stop / 30 < 0.25  # and PresenceOptions.back later it is there


def test_facts_are_json(hidden: tuple[LiveChain, list[LivePose]]) -> None:
    facts = json.loads(json.dumps(hidden[0].facts()))
    assert facts["input"]["without_face"] == len(HIDDEN)
    assert facts["input"]["dropped"] == 0
    assert facts["latency"]["frames"] > 30


def test_a_sample_that_is_not_finite_is_counted_and_left_out(tiny_avatar: Avatar) -> None:
    chain, poses = driven(tiny_avatar, FakeVideo(20))
    sample = poses[-1].sample
    assert sample is not None
    sample.weights[0] = np.nan
    assert not chain._take(sample)
    assert chain.facts()["not_finite"] == 1
    assert torch.isfinite(chain.latest().params.expression).all()


def test_stopping_twice_and_before_the_start_is_harmless() -> None:
    source = FaceInput(FileFeed(FakeVideo(3)), models=fake_models())
    source.stop()
    source.stop()
    assert source.latest() is None
