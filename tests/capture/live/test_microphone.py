"""A voice as a pose source: microphones and sound files."""

from __future__ import annotations

import sys
import time
import types
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.performance.speech.live import LATENCY
from avatar.types import ROOT
from capture.live import LivePipeline, open_pose_source
from capture.live.microphone import MicrophoneSource
from capture.live.sound_feed import BLOCK, End, MicrophoneFeed, Receive, SoundFileFeed

MOUTH = [column for column, name in enumerate(ARKIT_52) if name.startswith(("jaw", "mouth"))]


class ScriptedFeed:
    """A feed that the test pushes."""

    name, rate = "script", 16_000.0

    def __init__(self) -> None:
        self.receive: Receive = lambda block, recorded: None
        self.end: End = lambda reason: None
        self.running = False

    def start(self, receive: Receive, end: End) -> None:
        self.receive, self.end, self.running = receive, end, True

    def stop(self) -> None:
        self.running = False

    def push(self, samples: np.ndarray) -> None:
        for block in np.split(samples.astype(np.float32), range(320, len(samples), 320)):
            self.receive(block, time.monotonic())


def vowel(seconds: float) -> np.ndarray:
    """Something like an open vowel: pulses at 120 Hz through resonances at 700 and 1200 Hz."""
    count = round(seconds * 16_000)
    pulses = np.zeros(count)
    pulses[:: 16_000 // 120] = 1
    t = np.arange(400) / 16_000
    response = sum(np.exp(-2 * np.pi * 60 * t) * np.sin(2 * np.pi * f * t) * a for f, a in ((700, 1.0), (1200, 0.6)))
    sound = np.convolve(pulses, response)[:count]
    return 0.3 * sound / np.abs(sound).max()


def write_wav(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((32000 * samples).astype("<i2").tobytes())
    return path


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def newest(source: MicrophoneSource, until: Callable[[Sample], bool] = lambda sample: True) -> Sample:
    found: list[Sample] = []

    def arrived() -> bool:
        sample = source.latest()
        if sample is not None and until(sample):
            found.append(sample)
        return bool(found)

    wait_until(arrived)
    return found[-1]


@pytest.fixture
def feed() -> ScriptedFeed:
    return ScriptedFeed()


@pytest.fixture
def source(feed: ScriptedFeed) -> Any:
    source = MicrophoneSource(feed)
    source.start()
    yield source
    source.stop()


def test_a_vowel_opens_the_mouth_and_silence_shuts_it(source: MicrophoneSource, feed: ScriptedFeed) -> None:
    jaw = ARKIT_52.index("jawOpen")

    def opened(sample: Sample) -> bool:
        feed.push(vowel(0.04))
        return bool(sample.weights[jaw] > 0.08)

    feed.push(vowel(0.4))
    assert newest(source, opened).confidence == 1
    feed.push(np.zeros(16_000))
    newest(source, lambda sample: sample.weights[MOUTH].max() < 0.02)


def test_a_sample_states_when_its_sound_was_recorded(source: MicrophoneSource, feed: ScriptedFeed) -> None:
    def heard(sample: Sample) -> bool:
        feed.push(vowel(0.04))
        return bool(sample.stamps)

    before = time.monotonic()
    sample = newest(source, heard)
    stamps = sample.stamps
    assert list(stamps) == ["sound", "recorded", "phones"]
    assert stamps["recorded"] - stamps["sound"] == pytest.approx(LATENCY, abs=0.025)
    assert before <= stamps["recorded"] <= stamps["phones"] <= sample.time


def test_the_face_idles_while_nobody_speaks(source: MicrophoneSource, feed: ScriptedFeed) -> None:
    first = newest(source)
    feed.push(np.zeros(3200))
    other = newest(source, lambda sample: (sample.joint_rot[ROOT] != first.joint_rot[ROOT]).any())
    assert other.weights[MOUTH].max() < 0.05


def test_without_sound_the_mouth_rests(source: MicrophoneSource, feed: ScriptedFeed) -> None:
    feed.push(vowel(0.5))
    newest(source, lambda sample: not sample.stamps and sample.weights[MOUTH].max() == 0)


def test_earlier_samples_are_a_resting_face(source: MicrophoneSource) -> None:
    earlier = source.earlier()
    times = np.array([sample.time for sample in earlier])
    assert times[-1] - times[0] > 1 and np.diff(times) == pytest.approx(0.02)
    assert max(sample.weights.max() for sample in earlier) == 0


def test_speech_is_not_taken_for_the_neutral(tiny_avatar: Avatar, feed: ScriptedFeed) -> None:
    pipeline = LivePipeline(tiny_avatar, MicrophoneSource(feed))
    pipeline.start()
    try:
        wait_until(lambda: (feed.push(vowel(0.04)), pipeline.latest().fresh)[1])
        assert pipeline.stats()["calibrated"] == 1 and pipeline.stats()["calibration"]["still"]
        pipeline.calibrate()
        assert pipeline.stats()["calibrated"] == 1
    finally:
        pipeline.stop()


def test_the_latency_from_sound_to_parameters_is_reported(tiny_avatar: Avatar, feed: ScriptedFeed) -> None:
    pipeline = LivePipeline(tiny_avatar, MicrophoneSource(feed))
    pipeline.start()
    try:
        for _ in range(6):
            wait_until(lambda: (feed.push(vowel(0.04)), pipeline.latest().stamps.get("sound"))[1])
        report = pipeline.stats()["latency"]
        assert report["total"]["stage"] == "sound to parameters" and report["total"]["p50"] >= 1000 * LATENCY - 20
    finally:
        pipeline.stop()


def test_old_sound_is_dropped_when_the_recognizer_is_late(feed: ScriptedFeed) -> None:
    source = MicrophoneSource(feed)
    for _ in range(80):
        source._receive(np.zeros(320, np.float32), 0.0)
    assert source.stats()["received"] == 80 and source.stats()["dropped"] == 30


def test_a_source_starts_again(source: MicrophoneSource, feed: ScriptedFeed) -> None:
    feed.push(vowel(0.2))
    newest(source)
    source.stop()
    assert not feed.running and source.latest() is None
    source.start()
    assert feed.running and source.stats()["received"] == 0


def test_a_file_plays_at_its_pace_and_ends(tmp_path: Path) -> None:
    feed, blocks, ends = SoundFileFeed(write_wav(tmp_path / "a.wav", vowel(0.3))), [], []
    start = time.monotonic()
    feed.start(lambda block, recorded: blocks.append((block, recorded)), ends.append)
    wait_until(lambda: bool(ends))
    feed.stop()
    assert ends == ["the sound has ended"] and sum(len(block) for block, _ in blocks) == 4800
    assert [recorded - start for _, recorded in blocks] == pytest.approx([BLOCK * (k + 1) for k in range(15)], abs=0.2)


def test_a_repeated_file_does_not_end(tmp_path: Path) -> None:
    feed, blocks = SoundFileFeed(write_wav(tmp_path / "a.wav", vowel(0.04)), repeat=True), []
    feed.start(lambda block, recorded: blocks.append(block), lambda reason: None)
    wait_until(lambda: len(blocks) > 6)
    feed.stop()


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("no sound")
    with pytest.raises(HeadsplatError, match=r"a\.wav"):
        SoundFileFeed(path).start(lambda block, recorded: None, lambda reason: None)


class FakePortAudioError(Exception):
    pass


def fake_sounddevice(monkeypatch: pytest.MonkeyPatch, inputs: dict[Any, float]) -> list[Any]:
    """A sounddevice with `inputs` (device -> rate); returns the streams that are opened."""
    streams: list[Any] = []

    def query(device: Any, kind: str) -> dict[str, float]:
        if device not in inputs:
            raise FakePortAudioError(f"No input device matching {device!r}")
        return {"default_samplerate": inputs[device]}

    class Stream(types.SimpleNamespace):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, state="new")
            streams.append(self)

        def start(self) -> None:
            self.state = "started"

        def abort(self) -> None:
            self.state = "aborted"

        def close(self) -> None:
            self.state = "closed"

    module: Any = types.ModuleType("sounddevice")
    module.query_devices, module.InputStream, module.PortAudioError = query, Stream, FakePortAudioError
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return streams


@pytest.mark.parametrize(("name", "device"), [("default", None), ("2", 2), ("USB", "USB")])
def test_a_microphone_is_opened_at_its_own_rate(monkeypatch: pytest.MonkeyPatch, name: str, device: Any) -> None:
    streams, blocks = fake_sounddevice(monkeypatch, {device: 44_100.0}), []
    feed = MicrophoneFeed(name)
    feed.start(lambda block, recorded: blocks.append(block), lambda reason: None)
    assert (streams[0].device, streams[0].samplerate, streams[0].blocksize, feed.rate) == (device, 44_100, 882, 44_100)
    streams[0].callback(np.ones((882, 1), np.float32), 882, None, None)
    feed.stop()
    assert blocks[0].shape == (882,) and streams[0].state == "closed"


def test_a_missing_microphone_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch, {})
    with pytest.raises(HeadsplatError, match=r"microphone 7: cannot be opened .* connect a microphone or name another"):
        MicrophoneFeed("7").start(lambda block, recorded: None, lambda reason: None)


def test_a_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(HeadsplatError, match=r"needs sounddevice; install it with: pip install 'headsplat\[speech\]'"):
        MicrophoneFeed().start(lambda block, recorded: None, lambda reason: None)


def test_a_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *rest: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(HeadsplatError, match="needs PortAudio, which was not found; on Debian and Ubuntu: apt install"):
        MicrophoneFeed().start(lambda block, recorded: None, lambda reason: None)


def test_options_name_a_microphone_or_a_file(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", vowel(0.1))
    file, named = open_pose_source(microphone=str(path)), open_pose_source(microphone="USB")
    assert isinstance(file, MicrophoneSource) and (file.name, named.name) == ("a.wav", "microphone USB")
    assert open_pose_source(microphone="default").name == "microphone"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"microphone": "none.wav"}, "--microphone none.wav: no such file; give default, a number or a name"),
        (
            {"microphone": " "},
            "--microphone: expected default, a number or a name of an input, or a sound file; got none",
        ),
        ({"microphone": "default", "loop": True}, "--loop repeats a file; leave it out with a microphone"),
        ({"microphone": "default", "listen": "vmc"}, "give one pose source: "),
    ],
)
def test_wrong_options_are_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadsplatError) as error:
        open_pose_source(**options)
    assert str(error.value).startswith(message)
