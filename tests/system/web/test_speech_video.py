"""The encoded video of `headsplat serve`: images and sound in step, for any player, and nobody harms the others."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.jobs.serving import ServeOptions, serve
from avatar.model.avatar import Avatar
from avatar.performance.speech.client import SpeechClient
from avatar.performance.speech.live import Resampler
from avatar.performance.speech.stream import SpeechStream
from avatar.video.live import LiveEncoder
from avatar.video.metadata import NOTE
from tests.support.browser import Page
from tests.support.espeak import synthesize
from tests.support.speech_viewers import TIMEOUT, Watcher, connect, handshake, noise, speak, started
from viewer.web import speech_server, speech_video
from viewer.web.speech_server import SpeechServer
from viewer.web.speech_video import MAX_VIDEOS, SpeechVideo

PAGE = "<!doctype html><title>me</title>"
ORIGIN = "http://localhost:3000"
TEXT = "My mama bought a big map of Bombay."
FPS = 30.0


@pytest.fixture
def server(layered: Avatar) -> Iterator[SpeechServer]:
    stream = SpeechStream(seed=1, acting=0)
    video = SpeechVideo(layered, stream, (128, 96), FPS)
    found = SpeechServer(PAGE, layered, stream, port=0, origins=(ORIGIN,), video=video)
    with started(found):
        yield found


@pytest.fixture
def watcher(server: SpeechServer) -> Iterator[Watcher]:
    with closing(Watcher(server)) as found:
        yield found


def address(server: SpeechServer) -> str:
    return server.address.replace("/?", "/video?")


@dataclass
class Player:
    """A program that plays the video; all that it has decoded."""

    server: SpeechServer
    times: list[float] = field(default_factory=list)  # seconds, of the images
    images: list[np.ndarray] = field(default_factory=list)  # [H,W]
    sounds: list[tuple[float, np.ndarray]] = field(default_factory=list)
    comment: str = ""

    def __post_init__(self) -> None:
        self._ends = False
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        with av.open(address(self.server), timeout=TIMEOUT) as container:
            self.comment = container.metadata["comment"]
            for frame in container.decode():
                if isinstance(frame, av.VideoFrame):
                    self.times.append(frame.time)
                    self.images.append(frame.to_ndarray(format="gray"))
                else:
                    self.sounds.append((frame.time, frame.to_ndarray()[0]))
                if self._ends:
                    break

    def more(self, count: int = 5) -> None:
        """Wait for so many more images."""
        reached, end = len(self.images) + count, time.monotonic() + TIMEOUT
        while len(self.images) < reached:
            assert self._thread.is_alive() and time.monotonic() < end
            time.sleep(0.02)

    def close(self) -> None:
        self._ends = True
        self._thread.join(TIMEOUT)

    @property
    def sound(self) -> np.ndarray:
        """[n], from 0 s on; there are no gaps."""
        first = self.sounds[0][0]
        for number, (moment, _) in enumerate(self.sounds):
            assert abs(moment - first - number * 1024 / 48_000) < 1e-3
        return np.concatenate([np.zeros(round(first * 48_000)), *(sound for _, sound in self.sounds)])


@pytest.fixture
def player(server: SpeechServer) -> Iterator[Player]:
    found = Player(server)
    found.more()
    try:
        yield found
    finally:
        found.close()


def test_a_player_gets_images_in_step_with_the_sound(
    server: SpeechServer, watcher: Watcher, player: Player, layered: Avatar
) -> None:
    samples, rate, _ = synthesize(TEXT, speed=140)

    async def talk(voice: SpeechClient) -> None:
        await voice.push_audio(samples, rate)
        await voice.end_segment()
        await voice.ended()

    speak(server, talk)
    player.more(15)
    watcher.more(30)
    player.close()
    watcher.close()
    assert player.comment == NOTE
    assert player.times[0] == 0 and player.images[0].shape == (96, 128)
    assert np.diff(player.times).min() > 0.9 / 60  # a slow machine leaves images out
    # The sound says at which time of the stream the file begins.
    pushed = Resampler(rate, 24_000).push(samples)
    begin = watcher.first / 60 + int(np.correlate(watcher.sound, pushed, "valid").argmax()) / 24_000
    sound = player.sound
    place = int(np.correlate(sound[::2], pushed, "valid").argmax())
    heard = sound[::2][place : place + len(pushed)]
    assert np.corrcoef(heard, pushed)[0, 1] > 0.99
    offset = begin - place / 24_000
    # How far the mouth of the images is from rest, and that of the poses at the same time.
    moved = np.array([np.abs(image - player.images[0].astype(float)).mean() for image in player.images])
    jaw = watcher.poses[:, layered.head.expression_index("jawOpen")]
    times = watcher.first / 60 + np.arange(len(jaw)) / 60
    lags = np.arange(-12, 13) / 120
    scores = [np.corrcoef(np.interp(np.array(player.times) + offset + lag, times, jaw), moved)[0, 1] for lag in lags]
    assert max(scores) > 0.8
    assert abs(lags[int(np.argmax(scores))]) <= 1 / FPS


def test_who_comes_later_gets_a_file_that_begins_then(server: SpeechServer, player: Player) -> None:
    late = Player(server)
    late.more(10)
    late.close()
    player.more()
    assert late.times[0] == 0 and late.comment == NOTE
    assert 0 <= late.sounds[0][0] < 0.05


def test_nothing_is_drawn_while_nobody_watches(server: SpeechServer, player: Player, watcher: Watcher) -> None:
    player.close()
    watcher.more(30)
    assert server._video is not None
    drawn = server._video._drawn
    watcher.more(30)
    assert server._video._drawn == drawn
    again = Player(server)
    again.more(10)
    again.close()
    assert again.times[0] == 0


def test_the_file_ends_with_a_whole_box_when_the_server_stops(server: SpeechServer) -> None:
    request = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    request.request("GET", f"/video?token={server.token}", headers={"Origin": ORIGIN})
    answer = request.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    data = answer.read(20_000)
    server.stop()
    data += answer.read()
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        names.append(name)
        at += size
    assert at == len(data) and names[:2] == [b"ftyp", b"moov"] and set(names[2:]) == {b"moof", b"mdat"}


@pytest.mark.parametrize(
    ("change", "origin"), [(("token=", "token=x"), None), (("", ""), "https://evil.example"), (("", ""), "null")]
)
def test_a_wrong_token_or_origin_gets_no_video(
    server: SpeechServer, change: tuple[str, str], origin: str | None
) -> None:
    request = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    path = f"/video?token={server.token}".replace(*change) if change[0] else f"/video?token={server.token}"
    request.request("GET", path, headers={} if origin is None else {"Origin": origin})
    assert request.getresponse().status == 403


def test_a_player_that_never_reads_is_disconnected_and_no_other(
    server: SpeechServer, watcher: Watcher, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (speech_server, speech_video):
        monkeypatch.setattr(module, "MAX_VIDEO_WAITING", 8 << 10)
    assert server._video is not None
    viewers = server._video._viewers
    idle = handshake(server, "video")
    watcher.wait(lambda _: len(viewers) == 2)
    watcher.wait(lambda _: len(viewers) == 1)
    player.more()
    watcher.more()
    idle.close()


def test_a_half_closed_player_is_disconnected(server: SpeechServer, watcher: Watcher, player: Player) -> None:
    found = handshake(server, "video")
    found.settimeout(10)
    assert found.recv(15) == b"HTTP/1.1 200 OK"
    found.shutdown(socket.SHUT_WR)
    while found.recv(1 << 16):
        pass
    player.more()
    watcher.more()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", b"\x81\xfe\xff\xff" + bytes(64), b"\x89\x80" + bytes(4)])
def test_what_a_player_sends_harms_itself_only(
    server: SpeechServer, watcher: Watcher, player: Player, sent: bytes
) -> None:
    found = handshake(server, "video")
    found.settimeout(0.5)
    end = time.monotonic() + 2
    try:
        while time.monotonic() < end:
            found.sendall(sent * 500)
    except (ConnectionError, TimeoutError):
        pass
    player.more()
    watcher.more()
    found.close()


def test_players_are_bounded_and_an_agent_and_a_viewer_can_still_come(server: SpeechServer, watcher: Watcher) -> None:
    players = [handshake(server, "video") for _ in range(MAX_VIDEOS)]
    for each in players:
        assert each.recv(15) == b"HTTP/1.1 200 OK"
    request = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    request.request("GET", f"/video?token={server.token}")
    answer = request.getresponse()
    assert answer.status == 503
    assert answer.read().decode() == f"{MAX_VIDEOS} viewers watch the video, which is the limit.\n"
    speak(server, lambda voice: voice.push_audio(noise(0.5, 24_000), 24_000))
    with connect(server, "watch") as viewer:
        viewer.recv(timeout=10)
    watcher.more()
    for each in players:
        each.close()


@pytest.mark.parametrize("role", ["speak", "watch", "video"])
def test_floods_of_strangers_and_of_huge_requests_harm_nobody(
    server: SpeechServer, watcher: Watcher, player: Player, role: str
) -> None:
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    lines = [f"GET /{role}?token=wrong HTTP/1.1\r\n{host}\r\n", f"GET /{role}?token={'x' * (1 << 20)} HTTP/1.1\r\n"]
    lines.append(f"GET /{role}?token={server.token} HTTP/1.1\r\n{host}" + "X: y\r\n" * 10_000)
    answers = set()
    for number in range(90):
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as found:
            try:
                found.sendall(lines[number % len(lines)].encode())
                answers.add(found.recv(12))
            except ConnectionError:
                answers.add(b"")
    assert b"HTTP/1.1 403" in answers and b"HTTP/1.1 200" not in answers and b"HTTP/1.1 101" not in answers
    player.more()
    watcher.more()
    assert server._agent is None and len(server._viewers) == 1


def test_connections_that_say_nothing_are_bounded_and_end(
    server: SpeechServer, watcher: Watcher, player: Player
) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port), TIMEOUT) for _ in range(server.max_connections + 20)]
    watcher.wait(lambda _: server.counts["refused"] >= 20)
    for each in silent:  # after the five seconds of a handshake at most
        each.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionError):
            assert each.recv(1) == b""
        each.close()
    player.more()
    watcher.more()
    speak(server, lambda voice: voice.state())


@pytest.mark.parametrize("size", ["513", "2x2", "512x62"])
def test_a_size_that_cannot_be_encoded_is_refused(size: str) -> None:
    with pytest.raises(HeadsplatError, match=f"^--video-size: {size}: give even numbers of pixels from 64 on$"):
        serve("me.avatar", ServeOptions(video_size=size))


def test_the_smallest_size_is_encoded() -> None:
    assert LiveEncoder(64, 64, FPS, 24_000).add_image(np.zeros((64, 64, 3), np.uint8), 0.0)


def test_a_browser_plays_it(server: SpeechServer, page: Page) -> None:
    page.call("Page.navigate", url=server.address)
    page.wait("document.title === 'me'")
    if not page.run("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\"')"):
        pytest.skip("this browser has no H.264")
    page.run(
        "globalThis.film = document.createElement('video'); film.muted = true; film.autoplay = true;"
        f"film.src = {address(server)!r}; document.body.append(film)"
    )
    page.wait("film.error || film.currentTime > 1")
    assert page.run("[film.error && film.error.message, film.videoWidth, film.videoHeight]") == [None, 128, 96]
