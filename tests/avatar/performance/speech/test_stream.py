"""The face of a voice that arrives in pieces."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.presets import FacePreset
from avatar.performance.speech.phones import BILABIALS
from avatar.performance.speech.stream import MOST_WAITING, SETTLE, SpeechDriver, SpeechStream, SpokenFrame
from tests.support.espeak import synthesize
from tests.support.scripted_speech import lip_gap_of

RATE = 24_000
TEXT = "My mama bought a big map."


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Something that is heard."""
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def played(stream: SpeechStream, seconds: float) -> list[SpokenFrame]:
    return [stream.next_frame() for _ in range(round(seconds * stream.fps))]


def sound_of(frames: list[SpokenFrame]) -> np.ndarray:
    return np.concatenate([frame.sound for frame in frames])


def spoken(stream: SpeechStream, samples: np.ndarray, rate: int, piece: float = 0.02) -> list[SpokenFrame]:
    """Push pieces as they would be said, until the segment has ended."""
    count = round(piece * rate)
    pieces = [samples[at : at + count] for at in range(0, len(samples), count)]
    start = stream.time
    frames: list[SpokenFrame] = []
    while not (frames and frames[-1].ended):
        while pieces and (stream.time - start) >= (len(samples) - sum(map(len, pieces))) / rate:
            stream.push_audio(pieces.pop(0), rate)
            if not pieces:
                stream.end_segment()
        frames.append(stream.next_frame())
    return frames


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_all_sound_is_played_once_in_order_and_within_the_delay(fps: float) -> None:
    stream = SpeechStream(fps=fps)
    played(stream, 0.5)
    sound = noise(0.4)
    stream.push_audio(sound, RATE)
    stream.end_segment()
    out = sound_of(played(stream, 1))
    first = int(np.flatnonzero(out)[0])
    assert first / RATE <= stream.delay <= 0.13
    assert np.array_equal(out[first : first + len(sound)], sound)
    assert not out[first + len(sound) :].any()


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_sound_of_any_rate_keeps_its_length_and_pitch(rate: int) -> None:
    stream = SpeechStream()
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    stereo = np.stack([tone, tone], 1)
    stream.push_audio((20_000 * stereo).astype(np.int16), rate)
    stream.end_segment()
    out = sound_of(played(stream, 1.5))
    heard = out[np.abs(out) > 1e-4]
    assert len(heard) == pytest.approx(RATE, rel=0.02)
    assert np.abs(np.fft.rfft(out, RATE)).argmax() == pytest.approx(440, abs=1)


def test_pieces_that_come_late_wait_for_no_one_and_nothing_is_lost() -> None:
    stream = SpeechStream()
    sound = noise(0.3)
    frames: list[SpokenFrame] = []
    for part in np.array_split(sound, 3):
        stream.push_audio(part, RATE)
        frames += played(stream, 0.4)
    stream.end_segment()
    frames += played(stream, 0.3)
    out = sound_of(frames)
    assert np.array_equal(out[out != 0], sound)
    assert [number for frame in frames for number in frame.ended] == [0]


def test_segments_end_in_order_with_their_last_sound() -> None:
    stream = SpeechStream()
    for _ in range(2):
        stream.push_audio(noise(0.2), RATE)
        stream.end_segment()
        stream.end_segment()  # nothing new: no segment
    frames = played(stream, 1)
    ends = [(frame.ended, frame.segment) for frame in frames if frame.ended]
    assert [ended for ended, _ in ends] == [(0,), (1,)]
    segments = [frame.segment for frame in frames if frame.segment is not None]
    assert segments == sorted(segments)
    assert {0, 1} == set(segments)


def test_the_same_calls_and_seed_give_the_same_bits() -> None:
    def run(seed: int) -> np.ndarray:
        stream = SpeechStream(seed=seed)
        stream.push_audio(noise(0.2), RATE)
        return np.stack([np.concatenate([f.weights, f.head, f.translation]) for f in played(stream, 3)])

    assert np.array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


@pytest.mark.parametrize("text", [None, TEXT])
def test_lips_meet_where_the_voice_closes_them_whatever_the_emotion(text: str | None) -> None:
    pytest.importorskip("pocketsphinx", reason="the dictionary is not installed")
    samples, rate, truth = synthesize(TEXT)
    stream = SpeechStream(acting=0)
    stream.emotion("surprise")
    played(stream, 1)
    if text is not None:
        stream.push_text(text)
    frames = spoken(stream, samples, rate)
    out = sound_of(frames)
    start = int(np.flatnonzero(np.abs(out) > 1e-3)[0]) - int(np.flatnonzero(np.abs(samples) > 1e-3)[0] / rate * RATE)
    middles = [(phone.start + phone.end) / 2 + start / RATE for phone in truth if phone.name in BILABIALS]
    gaps = np.array([lip_gap_of(frame.weights) for frame in frames])
    shut = [gaps[round(60 * middle) - 1 : round(60 * middle) + 2].min() < 0.5 for middle in middles]
    assert np.mean(shut) >= 0.8
    assert gaps.max() > 4


def test_an_interrupted_face_is_silent_and_rests_without_a_jump() -> None:
    samples, rate, _ = synthesize("Ah, how loud are all of our alarms.")
    stream = SpeechStream(acting=0)
    stream.push_audio(samples, rate)
    before = played(stream, 0.6)
    assert before[-1].weights.max() > 0.05
    stream.interrupt()
    after = played(stream, 1)
    assert (after[0].ended, after[0].interrupted) == ((0,), True)
    assert not any(frame.ended or frame.interrupted for frame in after[1:])
    assert np.abs(after[0].sound).max() > 0  # it fades within five thousandths of a second
    assert not sound_of(after)[round(0.005 * RATE) :].any()
    assert all(frame.segment is None for frame in after)
    jumps = [np.abs(a.weights - b.weights).max() for a, b in zip([before[-1], *after[:-1]], after, strict=True)]
    assert max(jumps) < 0.35 * before[-1].weights.max() + 0.01
    assert max(frame.weights.max() for frame in after[round(SETTLE * stream.fps) + 1 :]) < 0.01
    stream.push_audio(samples, rate)  # a new turn
    assert played(stream, 0.5)[-1].segment == 1


def test_a_face_without_a_voice_blinks_and_breathes_and_its_mouth_rests() -> None:
    frames = played(SpeechStream(), 8)
    weights = np.stack([frame.weights for frame in frames])
    assert weights[:, ARKIT_52.index("eyeBlinkLeft")].max() > 0.5
    assert weights[:, ARKIT_52.index("jawOpen")].max() < 0.01
    assert np.ptp([frame.translation[1] for frame in frames]) > 5e-4


def test_it_nods_when_the_other_side_has_ended_a_phrase() -> None:
    samples, rate, _ = synthesize("Well, I have been thinking about it for a while.")

    def pitch(heard: bool) -> np.ndarray:
        stream = SpeechStream(seed=3)
        frames: list[SpokenFrame] = []
        for part in np.array_split(np.concatenate([samples, np.zeros(rate, np.float32)] * 3), 60):
            if heard:
                stream.push_heard(part, rate)
            frames += played(stream, len(part) / rate)
        return np.array([frame.head[0] for frame in frames])

    nod = np.rad2deg(pitch(True) - pitch(False))
    assert nod.max() > 1.5
    assert nod.min() > -1e-3


def test_an_emotion_comes_smoothly_and_goes() -> None:
    stream = SpeechStream(acting=0)
    stream.emotion("smile", seconds=0.5)
    smile = ARKIT_52.index("mouthSmileLeft")
    course = np.array([frame.weights[smile] for frame in played(stream, 1)])
    assert course[0] < 0.01
    assert course[-1] == pytest.approx(0.6, abs=0.01)
    assert np.diff(course).max() < 0.06
    stream.emotion({})
    assert played(stream, 1)[-1].weights[smile] == pytest.approx(0, abs=0.01)


def test_frames_move_an_avatar(tiny_avatar: Avatar) -> None:
    drive = SpeechDriver(tiny_avatar)
    stream = SpeechStream(acting=0)
    rest = drive(stream.next_frame())
    stream.emotion({"jawOpen": 1.0}, seconds=0.1)
    opened = drive(played(stream, 0.5)[-1])
    jaw = tiny_avatar.head.expression_names.index("jawOpen")
    assert opened.expression[0, jaw] > rest.expression[0, jaw] + 0.2


def test_frames_come_one_after_another_and_a_late_reader_loses_none() -> None:
    async def read() -> list[int]:
        numbers = []
        async for frame in SpeechStream(fps=120):
            numbers.append(frame.number)
            if frame.number == 3:
                await asyncio.sleep(0.1)
            if frame.number == 20:
                return numbers
        return []

    assert asyncio.run(read()) == list(range(21))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: SpeechStream(fps=5), "fps of 5, expected 10 to 120"),
        (lambda: SpeechStream(rate=4000), "rate of 4000, expected 8000 to 48000"),
        (lambda: SpeechStream(acting=2), "acting of 2, expected 0 to 1.5"),
        (lambda: SpeechStream().push_audio(noise(0.1), 1), "1 samples per second"),
        (lambda: SpeechStream().emotion("glee"), "no emotion 'glee'; there are neutral, smile"),
        (lambda: SpeechStream().emotion({"jawWide": 1}), "'jawWide' is no expression of ARKit"),
        (lambda: SpeechStream().emotion("smile", 9), "an emotion of 9, expected 0 to 1.5"),
        (lambda: SpeechStream().push_audio(np.zeros(8000 * int(MOST_WAITING) + 8000), 8000), "600 s of sound wait"),
    ],
)
def test_what_is_out_of_range_is_refused(call: object, problem: str) -> None:
    with pytest.raises(HeadsplatError, match=problem):
        call()  # type: ignore[operator]


def test_an_emotion_is_one_of_the_own_presets_or_else_a_built_in_one() -> None:
    stream = SpeechStream(acting=0.0, presets=(FacePreset("Smile", {"cheekPuff": 0.75, "expr3": 2.0}),))
    stream.emotion("smile", seconds=0.1)
    weights = dict(zip(ARKIT_52, played(stream, 0.2)[-1].weights.tolist(), strict=True))
    assert weights["cheekPuff"] == pytest.approx(0.75) and weights["mouthSmileLeft"] < 0.01
    stream.emotion("sad", seconds=0.1)
    assert played(stream, 0.2)[-1].weights[ARKIT_52.index("mouthFrownLeft")] == pytest.approx(0.7, abs=0.01)
    with pytest.raises(HeadsplatError, match="no emotion 'grin'; there are Smile, neutral, smile, laugh"):
        stream.emotion("grin")
