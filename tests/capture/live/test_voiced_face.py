"""A camera and a microphone at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from avatar.driving.live.pose_source import CameraPoseSource, VoicePoseSource
from avatar.driving.live.samples import CameraPreview, Sample, SourceStats
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.jobs.live_sources import LiveSources, SourceOptions
from avatar.motion.files.names import ARKIT
from avatar.types import JOINT_NAMES
from capture.live import open_pose_source
from capture.live.voiced_face import BEHIND, SHARE, VoicedFace

#: What a camera's tracker has: in another order than ARKit's, with expressions that ARKit lacks.
NAMES = load_head().expression_names
JAW, SMILE, BLINK = (NAMES.index(name) for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft"))


def sample(
    moment: float,
    stamps: dict[str, float] | None = None,
    hidden: tuple[str, ...] = (),
    names: tuple[str, ...] = NAMES,
    **weights: float,
) -> Sample:
    values = np.zeros(len(names), np.float32)
    confidence = weights.pop("confidence", 1.0)
    for name, value in weights.items():
        values[names.index(name)] = value
    joints = np.zeros((len(JOINT_NAMES), 3), np.float32)
    position = np.zeros(3, np.float32)
    return Sample(moment, names, ARKIT, values, joints, position, confidence, stamps or {}, hidden=hidden)


class Scripted:
    """A source whose samples the test gives."""

    name = "script"

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque()
        self.runs = False

    def start(self) -> None:
        self.runs = True

    def stop(self) -> None:
        self.runs = False

    def latest(self) -> Sample | None:
        return self.samples.popleft() if self.samples else None

    def earlier(self) -> Sequence[Sample]:
        return ()

    def learn_again(self) -> None:
        self.samples.clear()

    def preview(self) -> CameraPreview | None:
        return None

    def stats(self) -> SourceStats:
        return {"ended": None}


@pytest.fixture
def both() -> tuple[VoicedFace, Scripted, Scripted]:
    face, voice = Scripted(), Scripted()
    source = VoicedFace(face, voice)  # type: ignore[arg-type]
    source.start()
    return source, face, voice


def says(voice: Scripted, moment: float, jaw: float) -> None:
    heard = {"sound": moment + BEHIND}
    voice.samples.append(sample(moment + 0.1, heard, names=ARKIT_52, jawOpen=jaw, eyeBlinkLeft=0.9))


def sees(face: Scripted, moment: float, **weights) -> None:
    face.samples.append(sample(moment, **weights))


def after_rest(both: tuple[VoicedFace, Scripted, Scripted], start: float) -> float:
    """A second of a silent performer whose mouth rests at .1; the time after it."""
    source, face, voice = both
    for step in range(30):
        moment = start + step / 30
        says(voice, moment, 0.0)
        sees(face, moment, jawOpen=0.1)
        assert source.latest() is not None
    return start + 1


def test_a_face_waits_until_its_sound_is_heard_but_not_for_ever(both) -> None:
    source, face, voice = both
    now = time.monotonic()
    sees(face, now, jawOpen=0.3)
    says(voice, now - 0.1, 0.0)
    assert source.latest() is None
    says(voice, now, 0.0)
    found = source.latest()
    assert found is not None
    assert found.weights[JAW] == pytest.approx(0.3)  # nobody speaks
    sees(face, now + 0.05)
    assert source.latest() is None
    time.sleep(0.26)
    assert source.latest() is not None


def test_the_voice_shapes_the_mouth_over_the_performers_own_rest(both) -> None:
    source, face, voice = both
    moment = after_rest(both, time.monotonic())
    says(voice, moment, 0.4)
    sees(face, moment, jawOpen=0.1, mouthSmileLeft=0.7)
    found = source.latest()
    assert found is not None
    assert found.weights[JAW] == pytest.approx(0.1 + SHARE * 0.4, abs=0.01)
    assert found.weights[SMILE] == pytest.approx(0.7)
    assert found.weights[BLINK] == 0  # the camera's, not the idling voice's


def test_a_performer_who_talks_from_the_start_rests_where_the_mouth_closes(both) -> None:
    source, face, voice = both
    start = time.monotonic()
    for step in range(60):
        moment = start + step / 30
        says(voice, moment, 0.2)
        sees(face, moment, jawOpen=0.5 if step % 6 < 3 else 0.1)
        found = source.latest()
    assert found is not None
    assert found.weights[JAW] == pytest.approx(0.1 + SHARE * (0.1 + 0.2 - 0.1), abs=0.05)


def test_a_hidden_mouth_is_the_voices_and_rests_in_silence(both) -> None:
    source, face, voice = both
    moment = after_rest(both, time.monotonic())
    for step in range(60):
        says(voice, moment + step / 30, 0.4 if step < 6 else 0.0)
        sees(face, moment + step / 30, hidden=("eyes", "mouth"), jawOpen=0.9, mouthSmileLeft=0.6, eyeBlinkLeft=0.2)
        found = source.latest()
        assert found is not None
        assert found.hidden == ("eyes",)
        if step >= 3:
            assert found.weights[JAW] == pytest.approx(0.5 if step < 6 else 0.1, abs=0.01)
            assert found.weights[SMILE] == 0  # guessed behind the hand, and not heard
            assert found.weights[BLINK] == pytest.approx(0.2)


def test_a_mouth_comes_to_be_hidden_and_seen_without_jumps(both) -> None:
    source, face, voice = both
    moment = after_rest(both, time.monotonic())
    jaws = []
    for step in range(30):
        says(voice, moment + step / 30, 0.0)
        sees(face, moment + step / 30, hidden=("mouth",) if 10 <= step < 20 else (), jawOpen=0.7)
        found = source.latest()
        assert found is not None
        jaws.append(found.weights[JAW])
    assert min(jaws) < 0.4
    assert max(np.abs(np.diff(jaws))) < 0.25


def test_behind_a_hand_without_a_voice_the_region_stays_hidden(both) -> None:
    source, face, _ = both
    moment = after_rest(both, time.monotonic())
    sees(face, moment + 1, hidden=("mouth",), jawOpen=0.9)
    time.sleep(0.26)
    assert source.latest() is None
    time.sleep(0.26)
    found = source.latest()
    assert found is not None
    assert found.hidden == ("mouth",)


@pytest.mark.parametrize("confidence", [0.0, 0.2])
def test_a_voice_goes_on_where_the_camera_sees_nothing(both, confidence: float) -> None:
    source, face, voice = both
    moment = after_rest(both, time.monotonic())
    says(voice, moment, 0.4)
    sees(face, moment, confidence=confidence, jawOpen=0.9)
    found = source.latest()
    assert found is not None
    assert found.confidence > 0
    assert found.weights[JAW] == pytest.approx(0.5, abs=0.01)


def test_a_face_that_is_lost_in_silence_is_lost(both) -> None:
    source, face, voice = both
    moment = after_rest(both, time.monotonic())
    says(voice, moment, 0.0)
    sees(face, moment, confidence=0.0)
    found = source.latest()
    assert found is not None
    assert found.confidence == 0


def test_it_is_a_camera_to_the_pipeline_and_stops_both(both) -> None:
    source, face, voice = both
    assert isinstance(source, CameraPoseSource)
    assert not isinstance(source, VoicePoseSource)
    assert face.runs
    source.stop()
    assert not (face.runs or voice.runs)


def test_a_camera_that_cannot_start_stops_the_microphone() -> None:
    class Broken(Scripted):
        def start(self) -> None:
            raise OSError("no camera")

    voice = Scripted()
    with pytest.raises(OSError, match="no camera"):
        VoicedFace(Broken(), voice).start()  # type: ignore[arg-type]
    assert not voice.runs


def test_a_camera_and_a_microphone_may_be_given_together(tmp_path: Path) -> None:
    for name in ("face.mp4", "voice.wav"):
        (tmp_path / name).touch()
    source = open_pose_source(str(tmp_path / "face.mp4"), microphone=str(tmp_path / "voice.wav"))
    assert isinstance(source, VoicedFace)
    assert source.name == "face.mp4, voice.wav"
    options = SourceOptions(webcam=str(tmp_path / "face.mp4"), microphone=str(tmp_path / "voice.wav"))
    options.check()
    sources = LiveSources(options, None, None)
    assert sources.first == "webcam"
    assert next(iter(sources.choices())).label == "face.mp4 and voice.wav"
