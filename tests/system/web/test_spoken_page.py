"""The page of `headsplat serve` in a browser: it shows the pose of the sound that it plays."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.performance.speech.client import SpeechClient
from avatar.performance.speech.live import Resampler
from avatar.performance.speech.phones import BILABIALS
from tests.support.browser import Page
from tests.support.espeak import synthesize
from tests.support.page_command import page_command

pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")
TEXT = "My mama bought a big map of Bombay."
#: What an analyser hears with the pose that is shown, in each frame of the page: number, jaw, the last samples.
RECORD = """(() => {
  const { live } = app, { context } = live;
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  const { connect } = AudioNode.prototype;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target === context.destination && this instanceof AudioBufferSourceNode) connect.call(this, analyser);
    return connect.call(this, target, ...rest);
  };
  globalThis.heard = [];
  const listen = () => {
    requestAnimationFrame(listen);
    const samples = new Float32Array(2048);
    analyser.getFloatTimeDomainData(samples);
    if (samples.some((value) => value !== 0) && heard.length < 400)
      heard.push([live.number, live.pose.expression[JAW], [...samples].map((value) => Math.round(1e4 * value))]);
  };
  listen();
})()"""


@pytest.fixture
def command(layered: Avatar, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`headsplat serve`, and the address of its page."""
    save_avatar(tmp_path / "tiny.avatar", layered)
    with page_command(tmp_path, "serve", "tiny.avatar", "--port", "0", "--acting", "0") as started:
        yield started


def test_the_page_follows_the_voice_and_shows_the_pose_of_the_sound_that_is_heard(
    page: Page, layered: Avatar, command: tuple[subprocess.Popen[str], str]
) -> None:
    process, address = command
    samples, rate, phones = synthesize(TEXT, speed=140)
    page.visit(address)
    page.wait("app.live.number > 0 && document.getElementById('live-state').textContent === 'live'")
    assert page.run("document.getElementById('calibrate').hidden && !document.getElementById('sound').hidden")
    page.run("document.getElementById('sound').click()")
    page.wait("document.getElementById('sound').textContent === 'Sound off' && app.live.context.currentTime > 0.2")
    page.run(RECORD.replace("JAW", str(layered.head.expression_index("jawOpen"))))

    async def talk() -> None:
        async with SpeechClient(address) as voice:
            await voice.push_audio(samples, rate)
            await voice.end_segment()
            await voice.ended()

    asyncio.run(talk())
    page.wait("app.live.waiting.length < 60 && heard.length > 5")
    heard = json.loads(page.run("JSON.stringify(heard)"))
    pushed = Resampler(rate, 24_000).push(samples)
    # Where in the sound the page is, against where its pose is: the difference is the same for each of its frames.
    places, numbers, jaws = [], [], []
    for number, jaw, last in heard:
        block = np.array(last) / 1e4
        if np.sqrt(np.mean(block**2)) > 0.02:
            places.append((int(np.correlate(pushed, block, "valid").argmax()) + len(block)) / 24_000)
            numbers.append(number / 60)
            jaws.append(jaw)
    lags = np.array(places) - np.array(numbers)
    spread = np.abs(lags - np.median(lags))
    assert len(lags) > 10 and np.median(spread) < 0.035
    # The lips are shut at m, b and p, and open elsewhere.
    shut = [jaw for place, jaw in zip(places, jaws, strict=True) for phone in phones
            if phone.name in BILABIALS and phone.start + 0.02 < place < phone.end - 0.01]  # fmt: skip
    assert max(jaws) > 0.15
    if shut:  # a slow machine shows few frames
        assert np.median(shut) < 0.5 * max(jaws)
    assert page.errors() == []
    page.run("document.getElementById('sound').click()")
    page.wait("app.live.context === null && document.getElementById('sound').textContent === 'Sound on'")
    number = page.run("app.live.number")
    page.wait(f"app.live.number > {number}")

    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    page.wait("document.getElementById('live-state').textContent.startsWith('disconnected')")


def test_poses_of_another_avatar_are_not_shown(
    page: Page, layered: Avatar, command: tuple[subprocess.Popen[str], str]
) -> None:
    page.visit(command[1])
    page.wait("app.live.number > 0")
    page.run("app.live.expressions = 3; app.live.socket.close()")
    page.wait(
        "document.getElementById('live-state').textContent.startsWith('the server sends poses of another avatar')"
    )
    assert page.run("app.live.socket.readyState") in (2, 3)
