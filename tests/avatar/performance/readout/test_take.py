"""What is read of acted motions: labels, events, gestures, speech, and what is unknown."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.readout.signals import gaze_angles, gaze_words, head_angles, own_range, rotation_matrices
from avatar.performance.readout.take import Loudness, ReadOptions, Take, read_take
from avatar.types import ROOT, Motion
from tests.avatar.performance.readout.acted import FPS, TABLE, Acted

NEUTRAL, UNKNOWN = len(TABLE.labels) - 2, len(TABLE.labels) - 1
EMOTIONS = [emotion.name for emotion in TABLE.emotions]
SEQUENCE = ("AU1", "AU4", "AU5", "AU9", "AU12", "AU15", "AU17", "AU20", "AU24", "AU26", "AU34")


def kinds(take: Take, kind: str) -> list[str]:
    """Names of the events of a kind, in order."""
    return [event.name for event in take.events if event.kind == kind]


def rows(take: Take, start: float, end: float) -> np.ndarray:
    """Mask of the frames between two times."""
    return np.asarray((take.time >= start) & (take.time < end))


def test_a_person_at_rest_reads_as_neutral() -> None:
    acted = Acted(8).blink(2, 5)
    noise = np.random.default_rng(0).normal(0.1, 0.01, acted.weights.shape)
    acted.weights += noise
    take = read_take(acted.motion())
    assert (take.labels() == NEUTRAL).all()
    assert not kinds(take, "unit") and not kinds(take, "emotion")


def test_a_resting_face_with_an_offset_is_neutral_only_where_it_is_removed() -> None:
    acted = Acted(4)
    for name in ("mouthFrownLeft", "mouthFrownRight", "mouthPressLeft", "mouthPressRight"):
        acted.weights[:, ARKIT_52.index(name)] = 0.4
    assert (read_take(acted.motion()).labels() == NEUTRAL).all()
    assert (read_take(acted.motion(), options=ReadOptions(resting=False)).labels() != NEUTRAL).all()
    assert (read_take(dataclasses.replace(acted.motion(), resting="zero")).labels() != NEUTRAL).all()


def test_emotions_in_order_are_found_in_order() -> None:
    acted = Acted(3 + 3 * len(EMOTIONS))
    for k, name in enumerate(EMOTIONS):
        acted.face(name, 2 + 3 * k, 3.5 + 3 * k)
    take = read_take(acted.motion())
    assert kinds(take, "emotion") == EMOTIONS
    assert (take.labels()[rows(take, 0, 1.8)] == NEUTRAL).all()
    for k, event in enumerate(event for event in take.events if event.kind == "emotion"):
        assert 2 + 3 * k <= event.onset < event.apex < event.offset <= 3.5 + 3 * k


def test_action_units_in_order_are_found_in_order_with_their_times_and_intensity() -> None:
    acted = Acted(2 + 1.5 * len(SEQUENCE))
    for k, key in enumerate(SEQUENCE):
        acted.face(key, 1 + 1.5 * k, 2 + 1.5 * k, 0.7)
    found = [event for event in read_take(acted.motion()).events if event.kind == "unit" and event.name != "AU25"]
    assert [event.name for event in found] == list(SEQUENCE)
    assert [event.peak for event in found] == pytest.approx([0.7] * len(SEQUENCE), abs=0.02)
    assert [event.apex for event in found] == pytest.approx([1.5 + 1.5 * k for k in range(len(SEQUENCE))], abs=0.2)


def test_a_short_face_is_a_micro_expression_and_a_long_one_is_not() -> None:
    take = read_take(Acted(8).face("disgust", 2, 2.4).face("disgust", 5, 6.5).motion())
    found = [event for event in take.events if event.kind == "emotion"]
    assert [event.micro for event in found] == [True, False]
    assert found[0].seconds < 0.5


def test_two_peaks_with_a_shallow_valley_are_one_event() -> None:
    deep = Acted(6).face("AU12", 1, 2).face("AU12", 2.2, 3.2)
    assert kinds(read_take(deep.motion()), "unit") == ["AU12", "AU12"]
    shallow = Acted(6).face("AU12", 1, 2.4).face("AU12", 1.9, 3.2)
    shallow.weights = shallow.weights.clip(0, 0.8)
    assert kinds(read_take(shallow.motion()), "unit") == ["AU12"]


def test_events_of_one_unit_never_overlap() -> None:
    acted = Acted(20)
    column = ARKIT_52.index("browDownLeft")
    acted.weights[:, column] = np.random.default_rng(0).random(len(acted.time)).cumsum() % 1
    ends = [(event.onset, event.offset) for event in read_take(acted.motion()).events if event.name == "AU4"]
    assert len(ends) > 3
    assert all(before[1] <= after[0] + 1e-9 for before, after in itertools.pairwise(ends))


def test_blinks_winks_and_closures_are_told_apart() -> None:
    acted = Acted(12).blink(2, 4).blink(6, sides=("Left",)).blink(9, seconds=1.5)
    take = read_take(acted.motion())
    found = [(event.kind, event.name) for event in take.events if event.kind in ("blink", "wink", "closure")]
    assert found == [("blink", "both"), ("blink", "both"), ("wink", "left"), ("closure", "both")]


@pytest.mark.parametrize(("axis", "kind"), [(0, "nod"), (1, "shake")])
def test_nods_and_shakes_are_told_apart(axis: int, kind: str) -> None:
    take = read_take(Acted(6).swing(axis, 6, 2, 4).motion())
    assert {event.kind for event in take.events} == {kind}
    assert sum(event.count for event in take.events) in (3, 4)
    assert all(1.7 < event.onset < event.offset < 4.3 for event in take.events)


def test_a_slow_turn_of_the_head_is_no_gesture() -> None:
    acted = Acted(8)
    acted.joint_rot[:, ROOT, 1] = np.radians(40) * np.sin(0.5 * acted.time)
    assert not read_take(acted.motion()).events


def test_a_tilt_names_its_side() -> None:
    acted = Acted(8)
    acted.joint_rot[rows(read_take(acted.motion()), 3, 4.5), ROOT, 2] = np.radians(-20)
    assert [(event.kind, event.name) for event in read_take(acted.motion()).events] == [("tilt", "left")]


def test_speech_is_found_and_reads_as_no_emotion() -> None:
    take = read_take(Acted(12).speech(4, 9).motion())
    speaking = rows(take, 5, 8)
    assert (take.speech[speaking] > 0.5).all()
    assert (take.speech[rows(take, 0, 2.5)] < 0.1).all()
    assert not kinds(take, "emotion")
    assert (take.labels()[speaking] >= NEUTRAL).all()


def test_a_smile_within_speech_is_found() -> None:
    take = read_take(Acted(12).speech(3, 10).face("happiness", 5, 7).motion())
    assert kinds(take, "emotion") == ["happiness"]


def test_one_wide_opening_is_no_speech() -> None:
    assert read_take(Acted(6).face("AU27", 2, 4).motion()).speech.max() == 0


def test_sound_decides_where_lips_move() -> None:
    acted = Acted(12).speech(2, 10)
    time = np.arange(0, 12, 0.02)
    loud = Loudness(time, np.where((time > 2) & (time < 6), -20.0, -60.0))
    take = read_take(acted.motion(), loudness=loud)
    assert take.speech_source == "sound and lips"
    assert (take.speech[rows(take, 3, 5)] > 0.5).all()
    assert (take.speech[rows(take, 7, 9)] < 0.1).all()
    silent = read_take(Acted(12).motion(), loudness=loud)
    assert silent.speech.max() < 0.1  # somebody else speaks


def test_frames_without_a_face_are_unknown_and_not_neutral() -> None:
    acted = Acted(6).face("happiness", 1, 5)
    acted.confidence[60:90] = 0
    take = read_take(acted.motion())
    assert (take.labels()[60:90] == UNKNOWN).all()
    assert not take.sides[60:90].any() and not take.distribution[60:90].any()


def test_the_same_motion_reads_the_same() -> None:
    acted = Acted(5).face("fear", 1, 2).speech(3, 5)
    first, second = (read_take(acted.motion()) for _ in range(2))
    assert first.events == second.events
    np.testing.assert_array_equal(first.distribution, second.distribution)


def test_the_contributions_of_a_frame_add_up_to_its_score() -> None:
    take = read_take(Acted(4).face("anger", 1, 3).motion())
    parts = take.contributions(60)
    anger = parts[TABLE.labels.index("anger")]
    assert anger.sum() == pytest.approx(0.8, abs=0.02)
    assert anger[ARKIT_52.index("browDownLeft")] > 0.1


def test_the_own_range_makes_people_comparable() -> None:
    peaks = []
    for strength in (0.35, 0.9):
        acted = Acted(8).face("AU12", 2, 3, strength).face("AU12", 5, 6, strength)
        take = read_take(acted.motion(), options=ReadOptions(own_range=True))
        peaks.append(take.sides[:, TABLE.keys.index("AU12")].max())
        assert take.reach[ARKIT_52.index("mouthSmileLeft")] == pytest.approx(strength, abs=0.01)
    assert peaks == pytest.approx([1, 1])
    assert (own_range(np.zeros((0, 52))) == 1).all()


def test_gaze_and_head_angles_have_the_stated_signs() -> None:
    weights = np.zeros((2, 52))
    for name in ("eyeLookOutLeft", "eyeLookInRight"):
        weights[0, ARKIT_52.index(name)] = 0.5
    for name in ("eyeLookDownLeft", "eyeLookDownRight"):
        weights[1, ARKIT_52.index(name)] = 0.5
    gaze = gaze_angles(weights, np.zeros((2, 5, 3)))
    assert gaze.tolist() == [pytest.approx([14, 0]), pytest.approx([0, -13])]
    assert [gaze_words(*row) for row in gaze] == ["left", "down"]
    assert gaze_words(0, 0) == "straight ahead" and gaze_words(-20, 20) == "up and right"
    rotvec = np.zeros((3, 5, 3))
    rotvec[[0, 1, 2], ROOT, [1, 0, 2]] = np.radians([20, 20, 20])
    found = head_angles(rotvec, np.eye(3))
    np.testing.assert_allclose(found, [[20, 0, 0], [0, -20, 0], [0, 0, 20]], atol=1e-9)
    assert rotation_matrices(np.zeros((1, 3)))[0].tolist() == np.eye(3).tolist()


def test_a_motion_of_one_frame_and_one_without_a_face_are_read() -> None:
    acted = Acted(1 / FPS)
    take = read_take(acted.motion())
    assert len(take) == 1 and not take.events
    assert "too few frames with a face to learn the resting face; weights are read as they are" in take.notes
    lost = dataclasses.replace(Acted(2).motion(), confidence=torch.zeros(60))
    assert (read_take(lost).labels() == UNKNOWN).all()


def test_missing_expressions_are_noted() -> None:
    motion = Acted(2).motion()
    part = dataclasses.replace(motion, names=motion.names[:20], weights=motion.weights[:, :20])
    assert "32 of ARKit's 52 expressions are not in this motion and count as 0" in read_take(part).notes


def test_a_motion_that_cannot_be_read_is_refused() -> None:
    motion = Acted(1).motion()
    with pytest.raises(HeadsplatError, match="the motion has no frames; give another file"):
        read_take(motion[:0])
    other: Motion = dataclasses.replace(motion, names=tuple(f"expr{k}" for k in range(52)), space="flame")
    with pytest.raises(HeadsplatError, match="motion in flame: none of its expressions has one of ARKit's names"):
        read_take(other)
