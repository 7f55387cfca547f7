"""The server of `headsplat serve`: an agent's voice reaches the viewers in step, and nobody harms the others."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.performance.speech.client import SpeechClient
from avatar.performance.speech.live import Resampler
from avatar.performance.speech.phones import BILABIALS
from avatar.performance.speech.stream import SETTLE, SpeechStream
from tests.support.espeak import synthesize
from tests.support.speech_viewers import TIMEOUT, Watcher, connect, handshake, noise, speak, started
from viewer.web import speech_server
from viewer.web.speech_server import MAX_VIEWERS, SpeechServer

exceptions = pytest.importorskip("websockets.exceptions")

ROOT = Path(__file__).parents[3]
PAGE = "<!doctype html><title>me</title>"
ORIGIN = "http://localhost:3000"
TEXT = "My mama bought a big map of Bombay."
OPEN = ("AA", "AE", "AY")


@pytest.fixture
def server(layered: Avatar) -> Iterator[SpeechServer]:
    found = SpeechServer(PAGE, layered, SpeechStream(seed=1), port=0, origins=(ORIGIN,))
    with started(found):
        yield found


@pytest.fixture
def watcher(server: SpeechServer) -> Iterator[Watcher]:
    with closing(Watcher(server)) as found:
        yield found


def test_a_viewer_gets_the_whole_sound_and_lips_that_follow_it(
    server: SpeechServer, watcher: Watcher, layered: Avatar
) -> None:
    samples, rate, phones = synthesize(TEXT, speed=140)

    async def talk(voice: SpeechClient) -> dict[str, Any]:
        for piece in np.array_split(samples, 50):
            await voice.push_audio(piece, rate)
        await voice.end_segment()
        return await voice.ended()

    assert speak(server, talk) == {"type": "ended", "segment": 0, "interrupted": False}
    watcher.more()
    watcher.close()
    fps, out = watcher.hello["fps"], watcher.hello["rate"]
    pushed = Resampler(rate, out).push(samples)
    sound = watcher.sound
    start = int(np.correlate(sound, pushed, "valid").argmax())
    assert np.abs(sound[start : start + len(pushed)] - pushed).max() < 0.01  # the resampler meets the pieces, too
    assert not sound[:start].any()
    assert len(sound) == round((watcher.first + len(watcher.poses)) / fps * out) - round(watcher.first / fps * out)
    jaw = watcher.poses[:, layered.head.expression_index("jawOpen")]

    def opening(names: tuple[str, ...]) -> float:
        middles = [(phone.start + phone.end) / 2 for phone in phones if phone.name in names]
        return float(np.mean([jaw[round((start / out + middle) * fps)] for middle in middles]))

    assert opening(OPEN) > 2 * opening(tuple(BILABIALS)) + 0.02


def test_an_interruption_ends_the_sound_at_once_and_the_mouth_rests(
    server: SpeechServer, watcher: Watcher, layered: Avatar
) -> None:
    async def talk(voice: SpeechClient) -> dict[str, Any]:
        await voice.push_audio(noise(20, 24_000), 24_000)
        await asyncio.to_thread(watcher.wait, lambda each: bool(each.sound.any()))
        await asyncio.sleep(0.3)
        await voice.interrupt()
        return await voice.ended()

    assert speak(server, talk) == {"type": "ended", "segment": 0, "interrupted": True}
    watcher.more(30)
    watcher.close()
    sound = watcher.sound
    heard = np.flatnonzero(sound)
    assert len(heard) < 10 * 24_000
    after = round((heard[-1] / 24_000 + SETTLE) * 60) + 1
    assert watcher.poses[after:, layered.head.expression_index("jawOpen")].max() < 0.02


def test_a_text_an_emotion_and_what_is_heard_are_understood(server: SpeechServer) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the dictionary (pip install 'headsplat[speech]')")

    async def talk(voice: SpeechClient) -> dict[str, Any]:
        await voice.emotion("smile", 0.5)
        await voice.emotion({"jawOpen": 0.2})
        await voice.push_heard(noise(0.5, 16_000), 16_000)
        await voice.push_text("Hello")
        return await voice.state()

    assert speak(server, talk)["waiting"] == 0


def test_what_an_agent_has_pushed_is_played_after_it_has_left(server: SpeechServer, watcher: Watcher) -> None:
    async def talk(voice: SpeechClient) -> None:
        await voice.push_audio(np.full(12_000, 1000, np.int16), 24_000)
        await voice.state()  # it has arrived

    speak(server, talk)
    watcher.wait(lambda each: np.count_nonzero(each.sound) >= 12_000)
    assert speak(server, lambda voice: voice.state())["segment"] == 1


@pytest.mark.parametrize("role", ["speak", "watch"])
@pytest.mark.parametrize(("token", "origin"), [("wrong", None), (None, "https://evil.example"), (None, "null")])
def test_a_wrong_token_or_origin_is_refused(
    server: SpeechServer, role: str, token: str | None, origin: str | None
) -> None:
    with pytest.raises(exceptions.InvalidStatus) as caught:
        connect(server, role, token, origin)
    assert caught.value.response.status_code == 403


def test_a_page_of_a_given_origin_may_connect(server: SpeechServer) -> None:
    with connect(server, "watch", origin=ORIGIN) as found:
        assert json.loads(found.recv(timeout=10))["version"] == 1


def test_a_second_agent_is_refused_until_the_first_has_left(server: SpeechServer) -> None:
    async def talk(voice: SpeechClient) -> None:
        with pytest.raises(HeadsplatError, match="another agent speaks; close its connection first"):
            await SpeechClient(server.address).__aenter__()

    speak(server, talk)
    speak(server, lambda voice: voice.state())


def test_the_client_says_why_it_cannot_speak(server: SpeechServer) -> None:
    with pytest.raises(HeadsplatError, match=r"^cannot speak at 127\.0\.0\.1:\d+: .*403"):
        asyncio.run(SpeechClient(server.address + "x").__aenter__())
    server.stop()
    with pytest.raises(HeadsplatError, match=r"^cannot speak at 127\.0\.0\.1:\d+: "):
        asyncio.run(SpeechClient(server.address).__aenter__())


def test_a_refused_request_is_reported_and_the_agent_stays(server: SpeechServer) -> None:
    with connect(server, "speak") as agent:
        assert json.loads(agent.recv(timeout=10))["type"] == "hello"
        agent.send('{"type":"emotion","name":"boredom of a kind"}')
        assert json.loads(agent.recv(timeout=10))["message"].startswith("speech stream: no emotion 'boredom of a kind'")
        agent.send('{"type":"state"}')
        assert json.loads(agent.recv(timeout=10))["type"] == "state"


@pytest.mark.parametrize(
    ("role", "message", "code"),
    [
        ("speak", "sing", 1008),
        ("speak", b"\0\0", 1008),
        ("speak", '{"type":"heard","rate":16000,"sound":"' + "A" * (1 << 20) + '"}', 1009),
        ("speak", bytes(1 << 20), 1009),
        ("watch", "hello", 1008),
        ("watch", bytes(1 << 20), 1009),
    ],
)
def test_what_the_protocol_does_not_have_ends_one_connection(
    server: SpeechServer, watcher: Watcher, role: str, message: Any, code: int
) -> None:
    with connect(server, role) as found:
        with pytest.raises(exceptions.ConnectionClosed):
            found.send(message)
            while True:
                found.recv(timeout=10)
        assert found.close_code == code
    watcher.more()


@pytest.mark.parametrize("message", ['{"type":"state"}', b"\0\0", b""])
def test_a_flood_of_an_agent_that_does_not_read_harms_no_viewer(
    server: SpeechServer, watcher: Watcher, message: Any
) -> None:
    with connect(server, "speak", max_queue=1) as agent:
        agent.send('{"type":"start","rate":24000}')
        end = time.monotonic() + 3
        try:
            while time.monotonic() < end:
                agent.send(message)
        except (exceptions.ConnectionClosed, TimeoutError):
            pass
        found = server._agent
        assert found is None or found._waiting <= speech_server.MAX_WAITING
        assert len(server._stream._queue) < 10
    watcher.more(30)


def test_a_viewer_that_never_reads_is_disconnected_and_no_other(
    server: SpeechServer, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_server, "MAX_WAITING", 8 << 10)  # two seconds of frames by default
    idle = handshake(server, "watch")
    watcher.wait(lambda _: len(server._viewers) == 2)
    watcher.wait(lambda _: len(server._viewers) == 1)
    watcher.more()
    idle.close()


@pytest.mark.parametrize("role", ["speak", "watch"])
def test_a_half_closed_socket_is_closed(server: SpeechServer, watcher: Watcher, role: str) -> None:
    found = handshake(server, role)
    found.shutdown(socket.SHUT_WR)
    found.settimeout(10)
    while found.recv(1 << 16):
        pass
    watcher.wait(lambda _: server._agent is None and len(server._viewers) == 1)
    watcher.more()


def test_viewers_are_bounded_and_an_agent_can_still_come(server: SpeechServer) -> None:
    viewers = [handshake(server, "watch") for _ in range(MAX_VIEWERS)]
    for each in viewers:
        assert each.recv(1)
    with connect(server, "watch") as late:
        with pytest.raises(exceptions.ConnectionClosed):
            late.recv(timeout=10)
        assert late.close_reason == f"{MAX_VIEWERS} viewers are connected, which is the limit"
    speak(server, lambda voice: voice.state())
    for each in viewers:
        each.close()


def example(server: SpeechServer, name: str, *arguments: str, lines: str = "") -> str:
    """What a script of examples/agents prints."""
    command = [sys.executable, str(ROOT / "examples" / "agents" / name), server.address, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=lines, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_agent_with_a_local_voice_speaks_texts_and_lines(server: SpeechServer, watcher: Watcher) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the dictionary (pip install 'headsplat[speech]')")
    pytest.importorskip("espeakng_loader", reason="needs espeakng-loader, which the extra dev installs")
    assert "'segment': 0, 'interrupted': False" in example(server, "speak_text.py", "Hello, Bob.")
    assert np.count_nonzero(watcher.sound) > 10_000
    example(server, "speak_text.py", lines="Hello, Bob.\n\nMama.\n")
    watcher.wait(lambda _: server._stream.segment == 3 and not server._stream.waiting)


def test_the_echo_says_what_it_has_heard(server: SpeechServer, watcher: Watcher, tmp_path: Path) -> None:
    rate, pause = 16_000, np.zeros(8000, np.int16)
    said = (20_000 * noise(0.5, rate)).astype(np.int16)
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.concatenate([pause, said, pause]).tobytes())
    assert "'segment': 0, 'interrupted': False" in example(server, "echo.py", "--sound", str(tmp_path / "said.wav"))
    watcher.more()
    watcher.close()
    assert np.count_nonzero(watcher.sound) / 24_000 == pytest.approx(0.5, abs=0.1)


def test_the_client_in_javascript_speaks_and_interrupts(server: SpeechServer, watcher: Watcher) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    script = f"""
import {{ SpeechClient }} from "{(ROOT / "examples" / "agents" / "speech_client.mjs").as_uri()}";
const voice = await SpeechClient.connect("{server.address}", (event) => {{
  console.log(JSON.stringify(event));
  if (event.segment === 0) speak(9);
  else if (event.segment === 1) voice.close();
}});
const speak = (seconds) => {{
  voice.pushAudio(Float32Array.from({{ length: 24000 * seconds }}, (_, k) => 0.5 * Math.sin(k / 20)), 24000);
  if (seconds === 1) voice.endSegment();
  else setTimeout(() => voice.interrupt(), 500);
}};
voice.emotion("smile", 0.2);
speak(1);
"""
    command = [node, "--experimental-websocket", "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    if "bad option" in done.stderr:
        pytest.skip("needs Node.js 20.10")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["segment"], event["interrupted"]) for event in events] == [(0, False), (1, True)], done.stderr
    watcher.close()
    assert 24_000 <= np.count_nonzero(watcher.sound) < 5 * 24_000


def test_stopping_ends_all_connections(server: SpeechServer) -> None:
    with connect(server, "watch") as viewer, connect(server, "speak") as agent:
        server.stop()
        for each in (viewer, agent):
            with pytest.raises(exceptions.ConnectionClosed):
                while True:
                    each.recv(timeout=10)
