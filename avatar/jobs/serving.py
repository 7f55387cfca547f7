"""An avatar as the face of agents: a server for their voices, and for pages that show it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from avatar.common.files import path_text
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.appearance import read_in_appearance
from avatar.jobs.live_web import PORT, PageOpened
from avatar.jobs.notices import Notices, Notify, Stop, cause_of, ignore, stoppable
from avatar.jobs.option_types import DURATION, SEED, AppearanceName, OptionalFloat, OptionalText, checked
from avatar.jobs.parsing import parse_size
from avatar.jobs.relight_options import RelightOptions

if TYPE_CHECKING:
    from viewer.web.speech_server import SpeechServer

_PERIOD = 0.05  # seconds between two looks whether the server is to end
_CLOSING = "closing the server"
#: Pixels of a side of the video.
_MIN_SIDE, _MAX_SIDE = 64, 1920
#: Said once before the first agent comes: the dictionary and the recognizer are loaded.
_FIRST_WORDS = "hello"


@dataclass(frozen=True)
class ServeOptions:
    """the server, and how the avatar speaks"""

    port: Annotated[int, PORT] = 8788
    """of the page and of the voices; 0: any free one"""
    host: OptionalText = None
    """address of this machine to listen on; default: only this machine can connect"""
    obs: bool = False
    """the page shows the avatar alone, without a background, at an address that stays: for a browser source"""
    origin: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="URL")] = ()
    """a page of another server, such as http://localhost:3000, that may connect, too; may be given several times"""
    fps: Annotated[float, Between(10, 120)] = 60.0
    """poses per second"""
    seed: Annotated[int, SEED] = 0
    """of blinks, gaze, brows and motion of the head"""
    acting: Annotated[float, Between(0, 1.5)] = 1.0
    """their size; 0: only the mouth moves"""
    video_size: Annotated[str, arg(metavar="WxH|SIDE")] = "512"
    """pixels of the encoded video, for programs that cannot render; even numbers"""
    video_fps: Annotated[float, Between(1, 60)] = 30.0
    """its images per second at most, and at most --fps; a slow machine gives fewer"""
    appearance: AppearanceName = None
    """of an avatar of several recordings: the look of one of them, or a mix; default: that of the first"""
    light: Annotated[RelightOptions, arg(name="")] = field(default_factory=RelightOptions)
    seconds: Annotated[OptionalFloat, DURATION] = None
    """end after this time"""


@dataclass(frozen=True)
class ServeReport:
    """Statistics of a run of the server."""

    seconds: float  # since the start
    streams: int  # of agents and viewers
    sent: int  # messages with frames, to all viewers that have left
    refused: int  # requests and connections

    def to_text(self) -> str:
        """One line for display."""
        return f"{self.seconds:.1f} s, {self.streams} streams, {self.sent} messages sent, {self.refused} refused"


@dataclass(frozen=True)
class ServeRun:
    """A run of the server that has ended."""

    report: ServeReport
    stopped: bool  # whether `stop` or Ctrl-C ended it, not the time


def serve(
    avatar: str | Path, options: ServeOptions | None = None, *, notify: Notify = ignore, stop: Stop = None
) -> ServeRun:
    """Serve an avatar that speaks with the voice of an agent, and a page that shows it, until `stop` or Ctrl-C.

    Args:
        avatar: the avatar file.
        options: of the server; None: as `headsplat serve` by default.
        notify: receives messages, and `PageOpened` with the address of the page.
        stop: what ends it, as Ctrl-C does.

    Raises:
        HeadsplatError: the file is no avatar, an option is not valid, or the server cannot start.
    """
    options = checked(options or ServeOptions())
    notices = Notices(notify)
    path = Path(avatar)
    server = _server(path, options)
    began = time.monotonic()
    server.start()
    try:
        notices.notify(PageOpened(f"{path_text(path.name)}: open {server.address}", server.address))
        notices.say(f"video for programs that cannot render: {server.address.replace('/?', '/video?')}")
        if options.host is not None:
            notices.say(f"listening on {options.host}: who can reach this address and has the token sees the avatar")
        finished = _wait(server, options.seconds, notices, stop)
    finally:
        server.stop()
    if server.failure is not None:
        raise server.failure
    counts = {name: server.counts[name] for name in ("streams", "sent", "refused")}
    return ServeRun(ServeReport(time.monotonic() - began, **counts), not finished)


def _server(path: Path, options: ServeOptions) -> SpeechServer:
    from avatar.export.web import web_container
    from avatar.model.parts.light.relight import baked, relit
    from avatar.motion.presets import own_presets
    from avatar.performance.speech.stream import SpeechStream
    from viewer.web.page import build_page
    from viewer.web.server import LOOPBACK
    from viewer.web.speech_server import SpeechServer
    from viewer.web.speech_video import SpeechVideo

    size = parse_size(options.video_size, _MAX_SIDE, "--video-size")
    if any(side % 2 or side < _MIN_SIDE for side in size):
        raise HeadsplatError(f"--video-size: {options.video_size}: give even numbers of pixels from {_MIN_SIDE} on")
    header, avatar = read_in_appearance(path, options.appearance)
    relighting = options.light.relighting()
    shown = avatar if relighting is None else baked(relit(avatar, relighting))
    presets = own_presets(path)
    page = build_page(web_container(shown, header, path.stem, presets=presets), path.stem, live=True, speech=True)
    host = LOOPBACK if options.host is None else options.host
    stream = SpeechStream(fps=options.fps, seed=options.seed, acting=options.acting, presets=presets)
    _prepare()
    video = SpeechVideo(shown, stream, size, options.video_fps)
    server = SpeechServer(page, avatar, stream, host, options.port, origins=options.origin, video=video)
    if options.obs:
        server.show_alone()
    return server


def _prepare() -> None:
    """Load what the first words of an agent need, so that no frame waits for it."""
    from avatar.performance.speech.stream import SpeechStream

    stream = SpeechStream()
    with suppress(HeadsplatError):  # texts need an extra; without it they are refused
        stream.push_text(_FIRST_WORDS)
    stream.next_frame()


def _wait(server: SpeechServer, seconds: float | None, notices: Notices, stop: Stop) -> bool:
    """Wait for the end; returns False once `stop` or Ctrl-C ends it, True after `seconds`."""
    end = float("inf") if seconds is None else time.monotonic() + seconds
    with stoppable(stop, _CLOSING) as stopped:
        with suppress(KeyboardInterrupt):  # the second Ctrl-C, or the first one where nothing handles it
            while not stopped.is_set():
                if time.monotonic() >= end or server.failure is not None:
                    return True
                time.sleep(_PERIOD)
        notices.say(f"stopped by {cause_of(stopped)}")
        return False
