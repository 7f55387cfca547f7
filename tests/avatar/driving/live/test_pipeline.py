"""From camera frames to avatar parameters, with networks that decode the ground truth from the pixels."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.driving.live.samples import OwnFace
from avatar.model.avatar import Avatar
from capture.live import AvatarPose, CalibrationOptions, FaceSource, LiveOptions, LivePipeline, Sample
from capture.live.camera import FileFeed
from capture.live.identity import LearnOptions
from tests.capture.live.synthetic import QueueSource
from tests.capture.video.fake_video import NO_FACE, SIZE, FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)
CALIBRATION = CalibrationOptions(seconds=0.3, longest=0.8)
HIDDEN = range(45, 60)


def driven(avatar: Avatar, video: FakeVideo) -> tuple[LivePipeline, list[AvatarPose]]:
    source = FaceSource(FileFeed(video, "all"), lossless=True, models=fake_models(), learn=LEARN)
    pipeline, poses = LivePipeline(avatar, source, LiveOptions(calibration=CALIBRATION, clock="source")), []
    pipeline.start()
    while not source.finished:
        pose = pipeline.latest()
        if not pose.fresh:
            time.sleep(1e-3)  # for the tracking thread
        if pose.fresh or (pose.phase == "lost" and poses and poses[-1].phase != "lost"):
            poses.append(pose)
    pipeline.stop()
    return pipeline, poses


@pytest.fixture(scope="module")
def hidden(tiny_avatar: Avatar) -> tuple[LivePipeline, list[AvatarPose]]:
    """A run in which the face is hidden for half a second."""
    return driven(tiny_avatar, FakeVideo(75, dict.fromkeys(HIDDEN, NO_FACE)))


def test_a_face_is_learned_calibrated_and_drives(hidden: tuple[LivePipeline, list[AvatarPose]]) -> None:
    phases = list(dict.fromkeys(pose.phase for pose in hidden[1]))
    assert phases == ["calibrating", "driving", "lost"]
    assert [pose for pose in hidden[1] if pose.fresh][-1].phase == "driving"


def test_when_the_video_ends_the_face_is_lost(hidden: tuple[LivePipeline, list[AvatarPose]]) -> None:
    assert hidden[1][-1].phase == "lost"


def test_every_stage_has_a_stamp_in_order(hidden: tuple[LivePipeline, list[AvatarPose]]) -> None:
    stamps = hidden[1][-1].stamps
    assert list(stamps) == ["camera", "taken", "landmarks", "fit", "picked up", "smoothed", "parameters"]
    assert sorted(stamps.values()) == list(stamps.values())


def test_the_avatar_turns_as_the_driver_does(hidden: tuple[LivePipeline, list[AvatarPose]]) -> None:
    turns = np.array(
        [
            (float(pose.sample.joint_rot[0, 1]), float(pose.params.joint_rot[0, 0, 1]))
            for pose in hidden[1]
            if pose.sample
        ]
    )
    # the ends of a turn beyond the trained range are soft-clamped
    assert np.corrcoef(turns[10:].T)[0, 1] > 0.8


def test_the_face_that_returns_drives_within_half_a_second(hidden: tuple[LivePipeline, list[AvatarPose]]) -> None:
    back = [pose.sample.source_time for pose in hidden[1] if pose.fresh and pose.sample and pose.phase == "driving"]
    after = min(time for time in back if time is not None and time >= HIDDEN.stop / 30)
    assert after - HIDDEN.stop / 30 < 0.25  # plus PresenceOptions.to_driver for the blend


def test_stats_are_json(hidden: tuple[LivePipeline, list[AvatarPose]]) -> None:
    stats = json.loads(json.dumps(hidden[0].stats()))
    assert stats["input"]["without_face"] == len(HIDDEN)
    assert stats["input"]["dropped"] == 0
    assert stats["latency"]["frames"] > 30


def face(avatar: Avatar, time: float, confidence: float = 1.0, **weights: float) -> Sample:
    names = avatar.head.expression_names
    values = np.array([weights.get(name, 0.1) for name in names], np.float32)
    pose = np.zeros((5, 3), np.float32), np.array([0, 0, -0.7], np.float32)
    return Sample(time, names, "arkit52", values, *pose, confidence, source_time=time)


def queued(avatar: Avatar, before: Sequence[Sample] = (), **options: object) -> tuple[LivePipeline, QueueSource]:
    source = QueueSource(before)
    pipeline = LivePipeline(avatar, source, LiveOptions(calibration=CALIBRATION, clock="source", **options))  # type: ignore
    pipeline.start()
    return pipeline, source


def shown(pipeline: LivePipeline, source: QueueSource, sample: Sample) -> AvatarPose:
    source.sample = sample
    return pipeline.latest()


def test_the_avatars_own_face_is_shown_as_it_is_and_blends_in(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar)
    rows, shown_jaws = tiny_avatar.head.expression_index("jawOpen"), []
    weights = np.full(len(tiny_avatar.head.expression_names), 0.37, np.float32)
    eyes = np.zeros((5, 3), np.float32)
    eyes[3:, 1] = 0.2
    for index, amount in enumerate([0.0] * 12 + [0.5] + [1.0] * 12):
        own = OwnFace(weights, eyes, np.array([0, 0, -0.7], np.float32), 0.95, amount) if amount else None
        pose = shown(pipeline, source, replace(face(tiny_avatar, index / 10), own=own))
        shown_jaws.append(float(pose.params.expression[0, rows]))
    before, half, after = shown_jaws[11], shown_jaws[12], shown_jaws[-1]
    assert half == pytest.approx(0.5 * (before + after), abs=1e-5)
    np.testing.assert_allclose(pose.params.expression[0].numpy(), weights, atol=1e-6)
    np.testing.assert_allclose(pose.params.joint_rot[0, 3:].numpy(), eyes[3:], atol=1e-6)


def test_the_expression_of_a_hidden_mouth_stays_for_landmarks_and_own_face(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)], smoothing=None)
    row = tiny_avatar.head.expression_index("jawOpen")
    zeros = np.zeros((5, 3), np.float32), np.array([0, 0, -0.7], np.float32)
    for amount in (0.0, 1.0):
        jaws = []
        for k in range(60):
            hidden = k >= 30
            weights = np.zeros(len(tiny_avatar.head.expression_names), np.float32)
            weights[row] = 0.9 if hidden else 0.3
            own = OwnFace(weights, *zeros, 0.95, amount) if amount else None
            sample = face(tiny_avatar, 2 + 10 * amount + k / 30, jawOpen=0.9 if hidden else 0.3)
            sample = replace(sample, own=own, hidden=("mouth",) if hidden else ())
            jaws.append(float(shown(pipeline, source, sample).params.expression[0, row]))
        assert jaws[-1] == pytest.approx(jaws[29], abs=1e-3)


def test_a_sample_that_is_not_finite_is_counted_and_ignored(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar)
    broken = face(tiny_avatar, 0.0)
    broken.weights[0] = np.nan
    pose = shown(pipeline, source, broken)
    assert not pose.fresh and torch.isfinite(pose.params.expression).all()
    assert pipeline.stats()["not_finite"] == 1


def test_a_sample_without_a_face_is_returned_and_is_not_fresh(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar)
    stamps = shown(pipeline, source, face(tiny_avatar, 0.0)).stamps
    lost = face(tiny_avatar, 0.1, confidence=0.0)
    pose = shown(pipeline, source, lost)
    assert pose.sample is lost and not pose.fresh and pose.stamps == stamps


def test_a_resting_face_before_the_first_sample_is_the_neutral(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)])
    pose = shown(pipeline, source, face(tiny_avatar, 1.3, jawOpen=0.8))
    assert pose.phase == "driving"
    assert pipeline.driver is not None
    assert float(pipeline.driver.neutral.weights.max()) == pytest.approx(0.1)


def test_gains_apply_to_the_next_sample(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)], gains={"jaw": 0.5})
    assert pipeline.gains == {"brows": 1.0, "eyes": 1.0, "mouth": 1.0, "jaw": 0.5, "head": 1.0}
    jaw = tiny_avatar.head.expression_names.index("jawOpen")
    for k in range(20):
        pose = shown(pipeline, source, face(tiny_avatar, 1.3 + k / 30, jawOpen=0.3))
    before = float(pose.params.expression[0, jaw])
    pipeline.gains["jaw"] = 0.0
    after = float(shown(pipeline, source, face(tiny_avatar, 2.0, jawOpen=0.3)).params.expression[0, jaw])
    assert after < before - 0.05


def test_a_new_neutral_does_not_make_the_avatar_jump(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar, [face(tiny_avatar, k / 30) for k in range(30)])
    jaws = []
    for k in range(44):
        if k == 12:
            pipeline.calibrate()
        pose = shown(pipeline, source, face(tiny_avatar, 1.3 + k / 30, jawOpen=0.3))
        jaws.append(float(pose.params.expression[0, tiny_avatar.head.expression_names.index("jawOpen")]))
    assert jaws[11] > jaws[-1] + 0.05
    assert np.abs(np.diff(jaws[9:])).max() < 0.05


def test_another_person_is_learned_and_calibrated_again(tiny_avatar: Avatar) -> None:
    source = FaceSource(FileFeed(FakeVideo(50), "all"), lossless=True, models=fake_models(), learn=LEARN)
    pipeline = LivePipeline(tiny_avatar, source, LiveOptions(calibration=CALIBRATION, clock="source"))
    pipeline.start()
    fresh, relearned, first = 0, False, ()
    while not source.finished:
        pose = pipeline.latest()
        fresh += pose.fresh
        if fresh == 3 and not relearned:
            relearned, first = True, tuple(source.earlier())
            pipeline.learn_again()
            assert pipeline.latest().phase == "waiting" and pipeline.driver is None
        time.sleep(0 if pose.fresh else 1e-3)
    pipeline.stop()
    again = source.earlier()
    assert first and again and again[0].time > first[-1].time
    assert fresh > 3 and pipeline.driver is not None


def leaning(sample: Sample, *moved: float, confidence: float = 0.95) -> Sample:
    return replace(sample, torso=np.array(moved, np.float32), torso_confidence=confidence)


def test_the_torso_moves_from_where_it_was_at_the_neutral(tiny_avatar: Avatar) -> None:
    before = [leaning(face(tiny_avatar, k / 30), 0.05, 0.0, 0.1) for k in range(30)]
    pipeline, source = queued(tiny_avatar, before, gains={"head": 0.5}, smoothing=None)
    for k in range(20):
        pose = shown(pipeline, source, leaning(face(tiny_avatar, 1.3 + k / 30), 0.09, 0.02, 0.3))
    assert pose.torso is not None and pose.torso.trust == 1.0
    # half of what was measured by the gain, and half of the travel by the driver
    torch.testing.assert_close(pose.torso.moved, torch.tensor([[0.01, 0.005, 0.1]]))


def test_without_a_measured_torso_the_map_is_used(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar)
    assert shown(pipeline, source, face(tiny_avatar, 0.0)).torso is None
    assert shown(pipeline, source, leaning(face(tiny_avatar, 0.1), 0.1, 0.1, 0.1, confidence=0.3)).torso is None


def test_a_lost_face_returns_the_torso_to_the_map_gradually(tiny_avatar: Avatar) -> None:
    pipeline, source = queued(tiny_avatar)
    for k in range(20):
        shown(pipeline, source, leaning(face(tiny_avatar, k / 30), 0.02, 0.0, 0.0))
    shown(pipeline, source, face(tiny_avatar, 0.7, confidence=0.0))
    pose = shown(pipeline, source, face(tiny_avatar, 0.9, confidence=0.0))
    assert pose.torso is not None and 0 < pose.torso.trust < 1
    assert shown(pipeline, source, face(tiny_avatar, 1.5, confidence=0.0)).torso is None


def test_a_camera_has_a_preview_with_landmarks_and_other_sources_have_none(
    hidden: tuple[LivePipeline, list[AvatarPose]], tiny_avatar: Avatar
) -> None:
    preview = hidden[0].preview()
    assert preview is not None and preview.landmarks is not None
    assert (preview.image.shape, preview.landmarks.shape) == ((SIZE, SIZE, 3), (478, 3))
    assert queued(tiny_avatar)[0].preview() is None


def test_stopping_twice_and_before_the_start_has_no_effect() -> None:
    source = FaceSource(FileFeed(FakeVideo(3)), models=fake_models())
    source.stop()
    source.stop()
    assert source.latest() is None
