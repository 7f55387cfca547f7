"""From pictures to the parameters of an avatar, on networks that read the truth off the pixels."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from avatar.model.avatar import Avatar
from capture.live import CalibrationOptions, FaceInput, LiveOptions, LivePipeline, LivePose, Sample
from capture.live.camera import FileFeed
from capture.live.identity import LearnOptions
from tests.capture.live.made_up import Handed
from tests.capture.video.fake_video import NO_FACE, SIZE, FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)
CALIBRATION = CalibrationOptions(seconds=0.3, longest=0.8)
HIDDEN = range(45, 60)


def driven(avatar: Avatar, video: FakeVideo) -> tuple[LivePipeline, list[LivePose]]:
    source = FaceInput(FileFeed(video, "all"), lossless=True, models=fake_models(), learn=LEARN)
    chain, poses = LivePipeline(avatar, source, LiveOptions(calibration=CALIBRATION, clock="source")), []
    chain.start()
    while not source.finished:
        pose = chain.latest()
        if not pose.fresh:
            time.sleep(1e-3)  # for the thread that tracks
        if pose.fresh or (pose.phase == "lost" and poses and poses[-1].phase != "lost"):
            poses.append(pose)
    chain.stop()
    return chain, poses


@pytest.fixture(scope="module")
def hidden(tiny_avatar: Avatar) -> tuple[LivePipeline, list[LivePose]]:
    """A face that is hidden for half a second."""
    return driven(tiny_avatar, FakeVideo(75, dict.fromkeys(HIDDEN, NO_FACE)))


def test_a_face_is_learned_calibrated_and_drives(hidden: tuple[LivePipeline, list[LivePose]]) -> None:
    phases = list(dict.fromkeys(pose.phase for pose in hidden[1]))
    assert phases == ["calibrating", "driving", "lost"]
    assert [pose for pose in hidden[1] if pose.fresh][-1].phase == "driving"


def test_when_the_video_ends_the_avatar_is_let_go(hidden: tuple[LivePipeline, list[LivePose]]) -> None:
    assert hidden[1][-1].phase == "lost"


def test_every_stage_is_stamped_in_order(hidden: tuple[LivePipeline, list[LivePose]]) -> None:
    stamps = hidden[1][-1].stamps
    assert list(stamps) == ["camera", "taken", "landmarks", "fit", "picked up", "smoothed", "parameters"]
    assert sorted(stamps.values()) == list(stamps.values())


def test_the_avatar_turns_as_the_driver_does(hidden: tuple[LivePipeline, list[LivePose]]) -> None:
    turns = np.array(
        [
            (float(pose.sample.joint_rot[0, 1]), float(pose.params.joint_rot[0, 0, 1]))
            for pose in hidden[1]
            if pose.sample
        ]
    )
    # the avatar eases the ends of a turn it was not trained for
    assert np.corrcoef(turns[10:].T)[0, 1] > 0.8


def test_the_face_that_returns_drives_within_half_a_second(hidden: tuple[LivePipeline, list[LivePose]]) -> None:
    back = [pose.sample.source_time for pose in hidden[1] if pose.fresh and pose.sample and pose.phase == "driving"]
    after = min(time for time in back if time is not None and time >= HIDDEN.stop / 30)
    assert after - HIDDEN.stop / 30 < 0.25  # and PresenceOptions.back later it is there


def test_facts_are_json(hidden: tuple[LivePipeline, list[LivePose]]) -> None:
    facts = json.loads(json.dumps(hidden[0].stats()))
    assert facts["input"]["without_face"] == len(HIDDEN)
    assert facts["input"]["dropped"] == 0
    assert facts["latency"]["frames"] > 30


def face(avatar: Avatar, time: float, confidence: float = 1.0, **weights: float) -> Sample:
    names = avatar.head.expression_names
    values = np.array([weights.get(name, 0.1) for name in names], np.float32)
    still = np.zeros((5, 3), np.float32), np.array([0, 0, -0.7], np.float32)
    return Sample(time, names, "arkit52", values, *still, confidence, source_time=time)


def handed(avatar: Avatar, before: Sequence[Sample] = (), **options: object) -> tuple[LivePipeline, Handed]:
    source = Handed(before)
    chain = LivePipeline(avatar, source, LiveOptions(calibration=CALIBRATION, clock="source", **options))  # type: ignore
    chain.start()
    return chain, source


def shown(chain: LivePipeline, source: Handed, sample: Sample) -> LivePose:
    source.sample = sample
    return chain.latest()


def test_a_sample_that_is_not_finite_is_counted_and_left_out(tiny_avatar: Avatar) -> None:
    chain, source = handed(tiny_avatar)
    broken = face(tiny_avatar, 0.0)
    broken.weights[0] = np.nan
    pose = shown(chain, source, broken)
    assert not pose.fresh and torch.isfinite(pose.params.expression).all()
    assert chain.stats()["not_finite"] == 1


def test_a_lost_face_is_handed_out_and_is_not_fresh(tiny_avatar: Avatar) -> None:
    chain, source = handed(tiny_avatar)
    stamps = shown(chain, source, face(tiny_avatar, 0.0)).stamps
    gone = face(tiny_avatar, 0.1, confidence=0.0)
    pose = shown(chain, source, gone)
    assert pose.sample is gone and not pose.fresh and pose.stamps == stamps


def test_a_rest_before_the_first_sample_is_the_neutral(tiny_avatar: Avatar) -> None:
    chain, source = handed(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)])
    pose = shown(chain, source, face(tiny_avatar, 1.3, jawOpen=0.8))
    assert pose.phase == "driving"
    assert chain.retarget is not None
    assert float(chain.retarget.neutral.weights.max()) == pytest.approx(0.1)


def test_gains_are_obeyed_by_the_next_sample(tiny_avatar: Avatar) -> None:
    chain, source = handed(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)], gains={"jaw": 0.5})
    assert chain.gains == {"brows": 1.0, "eyes": 1.0, "mouth": 1.0, "jaw": 0.5, "head": 1.0}
    jaw = tiny_avatar.head.expression_names.index("jawOpen")
    for k in range(20):
        pose = shown(chain, source, face(tiny_avatar, 1.3 + k / 30, jawOpen=0.3))
    before = float(pose.params.expression[0, jaw])
    chain.gains["jaw"] = 0.0
    after = float(shown(chain, source, face(tiny_avatar, 2.0, jawOpen=0.3)).params.expression[0, jaw])
    assert after < before - 0.05


def test_a_new_neutral_does_not_make_the_avatar_jump(tiny_avatar: Avatar) -> None:
    chain, source = handed(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)])
    jaws = []
    for k in range(44):
        if k == 12:
            chain.calibrate()
        pose = shown(chain, source, face(tiny_avatar, 1.3 + k / 30, jawOpen=0.3))
        jaws.append(float(pose.params.expression[0, tiny_avatar.head.expression_names.index("jawOpen")]))
    assert jaws[11] > jaws[-1] + 0.05
    assert np.abs(np.diff(jaws[9:])).max() < 0.05


def test_another_person_is_learned_and_calibrated_anew(tiny_avatar: Avatar) -> None:
    source = FaceInput(FileFeed(FakeVideo(50), "all"), lossless=True, models=fake_models(), learn=LEARN)
    chain = LivePipeline(tiny_avatar, source, LiveOptions(calibration=CALIBRATION, clock="source"))
    chain.start()
    fresh, anew, first = 0, False, ()
    while not source.finished:
        pose = chain.latest()
        fresh += pose.fresh
        if fresh == 3 and not anew:
            anew, first = True, tuple(source.earlier())
            chain.learn_again()
            assert chain.latest().phase == "waiting" and chain.retarget is None
        time.sleep(0 if pose.fresh else 1e-3)
    chain.stop()
    again = source.earlier()
    assert first and again and again[0].time > first[-1].time
    assert fresh > 3 and chain.retarget is not None


def test_a_camera_shows_its_picture_with_landmarks_and_others_have_none(
    hidden: tuple[LivePipeline, list[LivePose]], tiny_avatar: Avatar
) -> None:
    look = hidden[0].look()
    assert look is not None and look[1] is not None
    assert (look[0].shape, look[1].shape) == ((SIZE, SIZE, 3), (478, 3))
    assert handed(tiny_avatar)[0].look() is None


def test_stopping_twice_and_before_the_start_is_harmless() -> None:
    source = FaceInput(FileFeed(FakeVideo(3)), models=fake_models())
    source.stop()
    source.stop()
    assert source.latest() is None
