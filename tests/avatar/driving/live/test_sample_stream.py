"""Samples for receivers without an avatar: what a camera's resting face becomes, and what other sources keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.driving.live.calibrated_driver import Neutral
from avatar.driving.live.pipeline import LiveOptions, LivePipeline
from avatar.driving.live.rest_removal import RestFollower, RestRemoval
from avatar.driving.live.sample_stream import SampleStream
from avatar.driving.live.samples import CameraPreview, Sample
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT
from tests.capture.live.synthetic import QueueSource

SMILE, BLINK = ARKIT_52.index("mouthSmileLeft"), ARKIT_52.index("eyeBlinkLeft")
LOOK = ARKIT_52.index("eyeLookOutLeft")


class Camera(QueueSource):
    """A camera whose samples a test sets."""

    def learn_again(self) -> None:
        """Nothing was learned."""

    def preview(self) -> CameraPreview | None:
        return None


def face(time: float = 0.0, turn: float = 0.3, eyes: float = 0.1, **weights: float) -> Sample:
    """A face with a smile of .4, lids .2 and a head that is turned at rest."""
    values = np.zeros(52, np.float32)
    values[SMILE] = 0.4
    values[[BLINK, ARKIT_52.index("eyeBlinkRight")]] = 0.2
    for name, weight in weights.items():
        values[ARKIT_52.index(name)] = weight
    joints = np.zeros((5, 3), np.float32)
    joints[ROOT, 1] = turn
    joints[[LEFT_EYE, RIGHT_EYE], 1] = eyes
    return Sample(time, ARKIT_52, "arkit52", values, joints, np.array([0, 0, -0.6], np.float32), 1.0)


@pytest.fixture
def remove() -> RestRemoval:
    """Of the person whose resting face `face` is."""
    return RestRemoval(Neutral.of([face()]), 0.55)


def test_the_resting_face_is_zero_and_looks_ahead(remove: RestRemoval) -> None:
    found = remove(face())
    np.testing.assert_allclose(found.weights, 0, atol=1e-6)
    np.testing.assert_allclose(found.joint_rot, 0, atol=1e-6)
    np.testing.assert_allclose(found.translation, [0, 0, -0.6])


def test_a_full_expression_stays_full_and_less_than_rest_is_none(remove: RestRemoval) -> None:
    assert remove(face(mouthSmileLeft=1.0)).weights[SMILE] == pytest.approx(1)
    assert remove(face(mouthSmileLeft=0.7)).weights[SMILE] == pytest.approx(0.5)
    assert remove(face(mouthSmileLeft=0.1)).weights[SMILE] == 0


def test_lids_that_a_camera_sees_closed_are_closed(remove: RestRemoval) -> None:
    both = {"eyeBlinkLeft": 0.55, "eyeBlinkRight": 0.55}
    assert remove(face(**both)).weights[BLINK] == pytest.approx(1)


def test_the_head_turns_from_its_pose_at_rest_and_the_gaze_weights_stay(remove: RestRemoval) -> None:
    found = remove(face(turn=0.7, eyes=0.3, eyeLookOutLeft=0.25))
    expected = axis_angle_to_matrix(torch.tensor([0.0, 0.4, 0.0]))
    np.testing.assert_allclose(axis_angle_to_matrix(torch.from_numpy(found.joint_rot[ROOT])), expected, atol=1e-6)
    np.testing.assert_allclose(found.joint_rot[LEFT_EYE], [0, 0.2, 0], atol=1e-6)
    assert found.weights[LOOK] == 0.25


def streamed(stream: SampleStream, source: QueueSource, samples: list[Sample]) -> list[Sample]:
    found = []
    for each in samples:
        source.sample = each
        sample = stream.latest()
        assert sample is not None
        found.append(sample)
    return found


def test_a_camera_is_calibrated_and_a_phone_is_not() -> None:
    resting = [face(k / 30) for k in range(40)]
    for source, expected in ((Camera(), 0.0), (QueueSource(), 0.4)):
        stream = SampleStream(source)
        assert streamed(stream, source, resting)[-1].weights[SMILE] == pytest.approx(expected, abs=1e-6)
        assert stream.note == ""


def test_the_stream_of_a_camera_as_it_is_keeps_the_resting_face() -> None:
    source = Camera()
    found = streamed(SampleStream(source, resting=False), source, [face(k / 30) for k in range(3)])
    assert found[-1].weights[SMILE] == pytest.approx(0.4)


def test_samples_from_before_the_first_one_calibrate() -> None:
    source = Camera([face(k / 30) for k in range(40)])
    found = streamed(SampleStream(source), source, [face(2.0)])
    np.testing.assert_allclose(found[0].weights, 0, atol=1e-6)


def test_a_better_resting_face_replaces_the_first_guess_without_a_jump() -> None:
    """The face smiles at first, then rests: the guess of its rest was the smile."""
    source = Camera()
    moves = [{"mouthSmileLeft": 0.5 + 0.4 * np.sin(k), "jawOpen": 0.5 + 0.4 * np.cos(k)} for k in range(25)]
    smiles = [face(k / 30, turn=0.5, **each) for k, each in enumerate(moves)]
    samples = smiles + [face(k / 30, mouthSmileLeft=0.45) for k in range(25, 110)]
    found = streamed(SampleStream(source), source, samples)
    turns = [each.joint_rot[ROOT][1] for each in found[30:]]  # the face itself does not move any more
    assert np.ptp(turns) > 0.05
    assert max(abs(np.diff(turns))) < 0.03


def test_a_neutral_goes_over_in_half_a_second_and_keeps_a_full_expression() -> None:
    remove = RestFollower(0.55)
    first, second = Neutral.of([face(mouthSmileLeft=0.6, turn=0.5)]), Neutral.of([face()])
    remove(face(), first, 0.0)
    turns, smiles = [], []
    for step in range(1, 16):
        sample = remove(face(mouthSmileLeft=1.0), second, step / 30)
        turns.append(sample.joint_rot[ROOT][1])
        smiles.append(sample.weights[SMILE])
    assert turns[0] < -0.15
    assert turns[-1] == pytest.approx(0, abs=0.011)
    assert max(np.diff(turns)) < 0.04
    np.testing.assert_allclose(smiles, 1, atol=1e-6)


def test_a_restless_face_is_asked_to_rest() -> None:
    source = Camera()
    stream = SampleStream(source)
    moving = [face(k / 30, mouthSmileLeft=0.5 + 0.4 * np.sin(k), jawOpen=0.5 + 0.4 * np.cos(k)) for k in range(200)]
    streamed(stream, source, moving[:100])
    assert stream.note == "look ahead with a resting face"
    streamed(stream, source, moving[100:])
    assert stream.note == "the face was never at rest: start again, and look ahead with a resting face"


def test_a_lost_face_is_passed_on_and_invalid_numbers_are_not() -> None:
    source = QueueSource()
    stream = SampleStream(source)
    lost, invalid = replace(face(), confidence=0.0), face(jawOpen=float("nan"))
    assert streamed(stream, source, [lost]) == [lost]
    source.sample = invalid
    assert stream.latest() is None


def hidden_twice() -> list[Sample]:
    """A closed mouth; a hand before it and a guess; for a moment no face at all; the hand and the guess again."""
    guess = {"jawOpen": 0.9}
    seen = [face(k / 30) for k in range(40)]
    covered = [replace(face(k / 30, **guess), hidden=("mouth",)) for k in range(40, 60)]
    lost = [replace(face(k / 30), confidence=0.0) for k in range(60, 63)]
    again = [replace(face(k / 30, **guess), hidden=("mouth",)) for k in range(63, 80)]
    return [replace(each, source_time=each.time) for each in seen + covered + lost + again]


def test_a_hidden_mouth_stays_as_it_was_over_a_moment_without_a_face(tiny_avatar: Avatar) -> None:
    jaw = ARKIT_52.index("jawOpen")
    source = QueueSource()
    found = streamed(SampleStream(source), source, hidden_twice())
    assert max(each.weights[jaw] for each in found[47:]) < 0.1
    camera = Camera()
    passed: list[Sample] = []
    pipeline = LivePipeline(tiny_avatar, camera, LiveOptions(clock="source"), passed.append)
    for each in hidden_twice():
        camera.sample = each
        pipeline.latest()
    assert max(each.weights[jaw] for each in passed[47:]) < 0.1


@pytest.mark.parametrize(("kind", "smile"), [(Camera, 0.0), (QueueSource, 0.4)])
def test_a_pipeline_passes_on_what_drives_its_avatar(
    tiny_avatar: Avatar, kind: type[QueueSource], smile: float
) -> None:
    source = kind()
    passed: list[Sample] = []
    pipeline = LivePipeline(tiny_avatar, source, LiveOptions(clock="source"), passed.append)
    for k in range(40):
        source.sample = replace(face(k / 30), source_time=k / 30)
        pipeline.latest()
    source.sample = replace(face(2.0), confidence=0.0, source_time=2.0)
    pipeline.latest()
    assert len(passed) == 41
    assert passed[-2].weights[SMILE] == pytest.approx(smile, abs=1e-6)
    assert passed[-1].confidence == 0
