"""Messages of `headsplat serve`: what they call, what is refused, and the bytes of frames."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech.stream import SpeechStream
from viewer.web.speech_messages import MOST_TEXT, AgentMessages, ProtocolError, bundle, read_bundle

RATE = 24_000
SECOND = np.full(RATE, 1000, "<i2").tobytes()


@pytest.fixture(scope="module")
def stream() -> SpeechStream:
    return SpeechStream()


@pytest.fixture
def agent(stream: SpeechStream) -> AgentMessages:
    stream.interrupt()
    return AgentMessages(stream)


def send(agent: AgentMessages, kind: str, **entries: Any) -> str | None:
    return agent.receive(json.dumps({"type": kind, **entries}))


def test_sound_waits_until_it_is_played_or_interrupted(agent: AgentMessages, stream: SpeechStream) -> None:
    send(agent, "start", rate=RATE)
    agent.receive(SECOND)
    assert stream.waiting == pytest.approx(1)
    first = stream.segment
    send(agent, "end")
    assert stream.segment == first + 1
    send(agent, "interrupt")
    assert stream.waiting == 0


def test_the_state_is_answered(agent: AgentMessages, stream: SpeechStream) -> None:
    send(agent, "start", rate=RATE / 2)
    agent.receive(SECOND)
    state = json.loads(send(agent, "state") or "")
    assert state["type"] == "state" and state["waiting"] == pytest.approx(2, abs=0.01)
    assert state["segment"] == stream.segment and state["delay"] == pytest.approx(stream.delay, abs=1e-3)


def test_an_emotion_and_heard_sound_reach_the_stream(agent: AgentMessages, stream: SpeechStream) -> None:
    send(agent, "emotion", name={"mouthSmileLeft": 0.8}, amount=1, seconds=0)
    send(agent, "heard", rate=16_000, sound=base64.b64encode(SECOND).decode())
    stream.next_frame()
    assert stream.next_frame().weights.max() > 0.5
    send(agent, "emotion", name={}, seconds=0)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\0\0", "sound before the message"),
        ("", "one JSON object"),
        ("[]", "one JSON object"),
        ("[" * 100_000, "one JSON object"),
        ('{"type":"start","rate":NaN}', "one JSON object"),
        ('{"type":"sing"}', "unknown type; there are start, text"),
        ('{"type":["start"]}', "unknown type"),
        ('{"type":"start"}', "start: expected rate"),
        ('{"type":"start","rate":true}', "start: rate is of another type"),
        ('{"type":"start","rate":"24000"}', "start: rate is of another type"),
        ('{"type":"end","now":1}', "end: unknown key; there are none"),
        ('{"type":"emotion","name":{"jawOpen":"wide"}}', "emotion: weights are numbers"),
        ('{"type":"heard","rate":16000,"sound":"?"}', "heard: the sound is not base64"),
        ('{"type":"heard","rate":16000,"sound":"AAAA"}', "an even number of bytes"),
    ],
)
def test_what_the_protocol_does_not_have_ends_the_connection(agent: AgentMessages, message: Any, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        agent.receive(message)
    assert len(str(caught.value).encode()) <= 123  # of a close frame


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('{"type":"start","rate":1}', "expected 8000 to 48000"),
        ('{"type":"start","rate":1e400}', "expected 8000 to 48000"),
        ('{"type":"heard","rate":96000,"sound":""}', "expected 8000 to 48000"),
        ('{"type":"emotion","name":"boredom of a kind"}', "no emotion 'boredom of a kind'"),
        ('{"type":"emotion","name":"smile","seconds":1e9}', "expected 0 to 60"),
        (json.dumps({"type": "text", "text": "word " * MOST_TEXT}), f"more than {MOST_TEXT} characters"),
    ],
)
def test_what_the_stream_refuses_is_a_sentence(agent: AgentMessages, message: str, words: str) -> None:
    with pytest.raises(HeadsplatError, match=words) as caught:
        agent.receive(message)
    assert not isinstance(caught.value, ProtocolError)


def test_frames_are_read_back() -> None:
    poses = np.random.default_rng(0).normal(size=(2, 72)).astype(np.float32)
    sound = np.linspace(-1, 1, 801, dtype=np.float32)
    number, found, samples = read_bundle(bundle(7, list(poses), sound))
    assert number == 7 and np.array_equal(found, poses)
    assert np.abs(samples / 32767 - sound).max() < 1e-4


@pytest.mark.parametrize("length", [0, 7, 8, 100])
def test_cut_frames_are_refused(length: int) -> None:
    message = bundle(7, [np.zeros(72, np.float32)] * 2, np.zeros(800, np.float32))
    with pytest.raises(HeadsplatError, match="a message of frames has"):
        read_bundle(message[:length])
