"""The reading of the face that drives: sliders, a motion, a live source; and when it is computed."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch

from avatar.driving.live.samples import AvatarPose, Sample
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.files.names import ARKIT
from avatar.types import JOINT_NAMES, ROOT, Motion
from tests.avatar.driving.puppet import puppet
from viewer.session.edits import Change, Do
from viewer.session.pose_sources import LivePipeline, LivePoseSource, MotionPoseSource, SliderPoseSource
from viewer.session.reading import FaceReader
from viewer.session.session import Session
from viewer.session.state import AvatarInfo, FaceReading, Sliders, SourceChoice, State, Timeline
from viewer.session.wings.action_units import face_at, face_described
from viewer.session.wings.reading import NO_FACE, NO_WEIGHTS

RATE = 30.0


@cache
def avatar() -> Avatar:
    return puppet(load_head())


@cache
def by_hand() -> SliderPoseSource:
    return SliderPoseSource(avatar())


@cache
def params() -> AvatarPose:
    return by_hand().pose(state())


def state(sliders: Sliders | None = None, timeline: Timeline | None = None) -> State:
    info = AvatarInfo("a.avatar", 6, 0, (), ())
    choices = (SourceChoice("sliders", "sliders"),)
    return State(info, choices, sliders=sliders or Sliders(), timeline=timeline or Timeline())


def wanted() -> FaceReader:
    reader = FaceReader()
    reader.wanted = True
    return reader


def of_sliders(sliders: Sliders) -> FaceReading:
    reading = wanted().read(by_hand(), AvatarPose(params().params, fresh=True), state(sliders), 0.0)
    assert reading is not None
    return reading


def motion(weights: np.ndarray, names: tuple[str, ...] = ARKIT_52, space: str = ARKIT, **parts: Any) -> Motion:
    count = len(weights)
    time = torch.arange(count, dtype=torch.float64) / RATE
    zeros = torch.zeros(count, len(JOINT_NAMES), 3)
    given: dict[str, Any] = {"joint_rot": zeros, "translation": torch.zeros(count, 3), **parts}
    return Motion(time, names, torch.as_tensor(weights, dtype=torch.float32), space, **given)


def source_of(given: Motion) -> MotionPoseSource:
    """A source of the motion, without retargeting."""
    source = MotionPoseSource.__new__(MotionPoseSource)
    source.motion = given
    source.times = tuple((given.time - given.time[0]).tolist())
    return source


def play(given: Motion, reader: FaceReader | None = None) -> list[FaceReading]:
    """Every frame's reading."""
    reader, source, found = reader or wanted(), source_of(given), []
    for frame, at in enumerate(source.times):
        timeline = Timeline("m", source.times, source.times[-1] + 1 / RATE, at)
        reading = reader.read(source, AvatarPose(params().params, fresh=True), state(timeline=timeline), 10 + at)
        assert reading is not None, frame
        found.append(reading)
    return found


def row(**weights: float) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in ARKIT_52], np.float32)


class Input:
    """What readings use of a live pipeline."""

    def __init__(self, **stats: object) -> None:
        self._stats = stats

    def stats(self) -> dict[str, object]:
        return {"input": self._stats}


def live(*samples: Sample | None, **stats: object) -> list[FaceReading | None]:
    """The readings of a live source's samples; a camera's without `port` in `stats`."""
    source, reader = LivePoseSource(cast(LivePipeline, Input(**stats))), wanted()
    poses = [AvatarPose(params().params, fresh=True, sample=sample) for sample in samples]
    return [reader.read(source, pose, state(), 0.1 * k) for k, pose in enumerate(poses)]


def sample(at: float, confidence: float = 1.0, **weights: float) -> Sample:
    zeros = np.zeros((len(JOINT_NAMES), 3), np.float32)
    return Sample(at, ARKIT_52, ARKIT, row(**weights), zeros, zeros[0], confidence)


@pytest.mark.parametrize("name", ["surprise", "sadness", "anger", "disgust", "contempt", "fear", "happiness"])
def test_an_emotion_of_the_sliders_reads_as_itself(name: str) -> None:
    reading = of_sliders(Sliders(face_described(f"extremely {name}")[0]))
    assert reading.label == name == max(reading.distribution, key=lambda pair: pair[1])[0]
    assert sum(probability for _, probability in reading.distribution) == pytest.approx(1)


def test_sliders_at_rest_read_as_neutral_without_units() -> None:
    reading = of_sliders(Sliders())
    assert (reading.label, reading.units, reading.note, reading.learning) == ("neutral", (), "", False)


def test_a_face_that_the_sliders_hold_is_not_taken_for_the_resting_face() -> None:
    reader, smile = wanted(), state(Sliders({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}))
    pose = AvatarPose(params().params, fresh=True)
    readings = [reader.read(by_hand(), pose, smile, 0.05 * k) for k in range(200)]
    assert readings[-1] is not None and readings[-1].label == "happiness"
    assert [(unit.key, unit.letter) for unit in readings[-1].units] == [("AU12", "D")]


def test_valence_and_arousal_are_those_of_the_pad() -> None:
    assert of_sliders(Sliders(face_at(-0.4, 0.5))).affect == pytest.approx((-0.4, 0.5), abs=0.02)


def test_gaze_head_and_lids_of_the_sliders_are_in_words() -> None:
    reading = of_sliders(Sliders({"eyeBlinkLeft": 1.0}, head=(20.0, 0.0, 0.0), gaze=(20.0, 0.0)))
    assert (reading.gaze, reading.head, reading.lids) == ("left (20, 0 deg)", "20, 0, 0 deg", "wink left")


def test_the_reasons_are_weights_that_lead_to_the_label() -> None:
    reading = of_sliders(Sliders({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}))
    assert {name for name, _ in reading.reasons} == {"mouthSmileLeft", "mouthSmileRight"}
    assert all(part > 0 for _, part in reading.reasons)


def test_the_reasons_change_with_the_label() -> None:
    readings = play(motion(np.array([row(), row(), row(mouthSmileLeft=0.9, mouthSmileRight=0.9)])))
    assert [reading.label for reading in readings] == ["neutral", "neutral", "happiness"]
    assert {name for name, _ in readings[1].reasons} == {"at rest"}
    assert {name for name, _ in readings[2].reasons} == {"mouthSmileLeft", "mouthSmileRight"}


def test_nothing_is_read_while_the_panel_is_hidden() -> None:
    assert FaceReader().read(by_hand(), AvatarPose(params().params, fresh=True), state(), 0.0) is None


def test_a_face_that_does_not_change_is_read_ten_times_a_second() -> None:
    reader, pose = wanted(), AvatarPose(params().params, fresh=False)
    read = [reader.read(by_hand(), pose, state(), k / 1000) is not None for k in range(1000)]
    assert sum(read) == 10


def test_the_resting_face_of_a_motion_is_that_of_all_of_it() -> None:
    weights = np.tile(row(mouthSmileLeft=0.3, mouthSmileRight=0.3), (60, 1))
    weights[40:50] = row(mouthSmileLeft=0.9, mouthSmileRight=0.9)
    readings = play(motion(weights))
    assert {reading.label for reading in readings[:40]} == {"neutral"} and readings[45].label == "happiness"
    assert not any(reading.learning for reading in readings)
    assert {reading.label for reading in play(replace(motion(weights), resting="zero"))} == {"happiness"}


def test_a_nod_of_a_motion_is_found() -> None:
    rotations = torch.zeros(90, len(JOINT_NAMES), 3)
    rotations[30:, ROOT, 0] = 0.15 * torch.sin(2 * torch.pi * 2 * torch.arange(60) / RATE)
    readings = play(motion(np.zeros((90, 52)), joint_rot=rotations))
    assert readings[20].gesture == "" and "nod" in {reading.gesture for reading in readings}


def test_a_frame_without_a_face_is_none_and_not_neutral() -> None:
    confidence = torch.ones(40)
    confidence[20:30] = 0
    readings = play(motion(np.zeros((40, 52)), confidence=confidence))
    assert (readings[10].label, readings[25].label, readings[25].note) == ("neutral", "", NO_FACE)
    assert readings[35].label == "neutral"


def test_a_jump_of_the_timeline_forgets_the_speech_before() -> None:
    seconds = np.arange(120) / RATE
    speech = np.outer(0.15 + 0.15 * np.sin(2 * np.pi * 4 * seconds), row(jawOpen=1.0))
    reader, given = wanted(), motion(speech)
    assert play(given, reader)[-1].speech > 0.5
    assert play(given, reader)[0].speech == 0


def test_a_paused_motion_is_not_read_again() -> None:
    given = motion(np.zeros((10, 52)))
    source, reader, pose = source_of(given), wanted(), AvatarPose(params().params)
    timeline = Timeline("m", source.times, 1.0, source.times[5])
    found = [reader.read(source, pose, state(timeline=timeline), 0.2 * k) for k in range(3)]
    assert found[0] is not None and found[1:] == [None, None]


@pytest.mark.parametrize("names", [tuple(f"expr{k}" for k in range(100)), ("expr0", "jawOpen")])
def test_a_motion_of_another_head_model_has_no_weights(names: tuple[str, ...]) -> None:
    readings = play(motion(np.zeros((5, len(names))), names, "flame"))
    assert {reading.note for reading in readings} == {NO_WEIGHTS}
    assert readings[0].label == ""


def test_arkits_names_in_a_space_of_another_name_are_read() -> None:
    assert play(motion(np.zeros((5, 52)), space="mine"))[-1].label == "neutral"


def test_a_live_source_is_read_from_its_sample_and_learns_the_resting_face() -> None:
    first, second = live(sample(0.0), sample(0.1))
    assert first is not None and second is not None
    assert (second.label, second.learning) == ("neutral", True)


def test_a_live_source_without_a_face_says_so() -> None:
    before, found, lost = live(None, sample(0.1), sample(0.2, confidence=0.0))
    assert before == lost == FaceReading(note=NO_FACE)
    assert found is not None and found.label == "neutral"


def test_a_live_source_of_another_head_model_has_no_weights() -> None:
    (found,) = live(replace(sample(0.0), names=("expr0", "expr1"), space="flame", weights=np.zeros(2, np.float32)))
    assert found == FaceReading(note=NO_WEIGHTS)


@pytest.mark.parametrize("stats", [{}, {"port": 11111}])
def test_weights_of_a_live_source_are_read_as_they_come(stats: dict[str, int]) -> None:
    (found,) = live(sample(0.0, mouthSmileLeft=0.4, mouthSmileRight=0.4), **stats)
    (amount,) = (unit.left for unit in found.units if unit.key == "AU12") if found else (None,)
    assert amount == pytest.approx(0.4, abs=1e-4)


def test_what_pixels_show_is_read_in_place_of_the_landmarks() -> None:
    (found,) = live(replace(sample(0.0), shown=row(cheekPuff=0.8).astype(np.float32)))
    (amount,) = (unit.left for unit in found.units if unit.key == "AU34") if found else (None,)
    assert amount == pytest.approx(0.8, abs=1e-4)


def test_the_numbers_of_a_live_source_follow_within_half_a_second() -> None:
    smile = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}
    samples = [sample(0.0), *(sample(0.04 * k, **smile) for k in range(1, 14))]
    found = [reading.affect[0] for reading in live(*samples) if reading is not None]
    assert found[0] == pytest.approx(0, abs=1e-9) and all(after > before for before, after in itertools.pairwise(found))
    assert found[1] < 0.4 * found[-1] and found[-1] > 0.6


def test_a_session_reads_its_sliders_once_the_panel_is_visible() -> None:
    session = Session(avatar(), "a.avatar", clock=time.monotonic)
    session.apply([Change("camera", replace(session.state.camera, height=32, width=32))])
    session.apply([Change("sliders", Sliders(face_described("extremely surprised")[0]))])
    session.advance()
    assert session.state.reading == FaceReading()
    session.reader.wanted, end = True, time.monotonic() + 20
    while not session.state.reading.label and time.monotonic() < end:
        session.advance()
    assert session.state.reading.label == "surprise"
    session.close()


def test_a_calibration_learns_the_resting_face_again(monkeypatch: pytest.MonkeyPatch) -> None:
    session, restarts = Session(avatar(), "a.avatar"), []
    monkeypatch.setattr(session.reader, "restart", lambda: restarts.append(1))
    monkeypatch.setattr(
        "viewer.session.session.ACTIONS", {"calibrate": lambda target: None, "undo": lambda target: None}
    )
    session.apply([Do("calibrate"), Do("undo")])
    assert restarts == [1]
