"""An avatar in the page of a browser, which a live source drives."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.common.files import path_text
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.appearance import read_in_appearance
from avatar.jobs.live_run import LiveRun, PageReport
from avatar.jobs.live_sources import LiveSources, SourceOptions
from avatar.jobs.live_window import LiveOptions
from avatar.jobs.notices import Notices, Notify, Result, Stop, cause_of, ignore, stoppable
from avatar.jobs.option_types import checked
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.sending import Senders

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar
    from viewer.session.pose_sources import LivePipeline
    from viewer.web.bridge import WebBridge

#: Valid ports; 0: any free one.
PORT = Between(0, 65535)
_PERIOD = 1 / 120  # seconds between two looks for a new sample: sources have at most 60 a second
_NOTE_PERIOD = 0.5  # seconds between two looks for a note of the source
_CLOSING = "closing the page's server"


@dataclass(frozen=True)
class PageOpened(Result):
    """The page is served: a sentence with its address, and the address, which has the token."""

    address: str


def live_page(
    avatar: str | Path,
    source: SourceOptions | None = None,
    options: LiveOptions | None = None,
    *,
    port: int = 0,
    obs: bool = False,
    notify: Notify = ignore,
    stop: Stop = None,
) -> LiveRun:
    """Serve a page with an avatar and drive it from a camera, an app or a voice, until `stop` or Ctrl-C.

    Args:
        avatar: the avatar file.
        source: what drives the avatar; None: the first camera.
        options: those that need a window are refused; None: as `headsplat live --web` by default.
        port: of the page; 0 for any free one.
        obs: the page shows the avatar alone, without a ground, at an address that stays from run to run.
        notify: receives messages, and `PageOpened` with the address.
        stop: what ends it, as Ctrl-C does.

    Raises:
        HeadsplatError: an option that needs a window, or the source or the server cannot start.
    """
    source = source or SourceOptions()
    options = checked(options or LiveOptions())
    notices = Notices(notify)
    path = Path(avatar)
    source.check()
    PORT.check("--port", port)
    _check(options)
    outputs = [] if options.json is None else [Output(options.json, "--json", (".json",))]
    inputs = (path, source.microphone, source.webcam)
    with reserved(outputs, inputs, overwrite=options.overwrite), Senders(options.send, notices) as senders:
        sources = LiveSources(source, options.host, options.phone, path, senders.listener)
        served = _serve(path, sources, options, notices, stop, port=port, obs=obs)
        run = replace(served, messages=senders.summaries())
        if options.json is not None:
            run.save(options.json, notices)
        return run


def _check(options: LiveOptions) -> None:
    """Raise HeadsplatError for options of the window that the page does not have."""
    standard = LiveOptions()
    for name in ("size", "background", "record", "virtual_camera", "device", "beside"):
        if getattr(options, name) != getattr(standard, name):
            raise HeadsplatError(f"--{name.replace('_', '-')} belongs to the window; leave it out with --web")


def _serve(
    path: Path, sources: LiveSources, options: LiveOptions, notices: Notices, stop: Stop, *, port: int, obs: bool
) -> LiveRun:
    from avatar.export.web import web_container
    from avatar.model.parts.light.relight import baked, relit
    from avatar.motion.presets import own_presets
    from viewer.web.bridge import LOOPBACK, WebBridge
    from viewer.web.page import build_page

    choice = next(each for each in sources.choices() if each.key == sources.first)
    header, avatar = read_in_appearance(path, options.appearance)
    relighting = options.light.relighting()
    shown_avatar = avatar if relighting is None else baked(relit(avatar, relighting))
    container = web_container(shown_avatar, header, path.stem, presets=own_presets(path))
    page = build_page(container, path.stem, live=True)
    bridge = WebBridge(page, LOOPBACK if options.host is None else options.host, port)
    if obs:
        bridge.show_alone()
    pipeline = choice.make(avatar)
    with closing(_Running(bridge, pipeline)) as running:
        sentence = f"{path_text(path.name)}, driven by {choice.label}: open {bridge.address}"
        notices.notify(PageOpened(sentence, bridge.address))
        if options.host is not None:
            notices.say(f"listening on {options.host}: who can reach this address and has the token sees the avatar")
        finished = _drive(running, avatar, options.seconds, notices, stop)
        return LiveRun(running.report(), not finished)


@dataclass
class _Running:
    """A started server and a started source."""

    bridge: WebBridge
    pipeline: LivePipeline
    began: float = field(default_factory=time.monotonic)
    samples: int = 0

    def __post_init__(self) -> None:
        self.bridge.start()
        try:
            self.pipeline.start()
        except BaseException:
            self.bridge.stop()
            raise

    def close(self) -> None:
        """Stop both."""
        self.pipeline.stop()
        self.bridge.stop()

    def report(self) -> PageReport:
        """Statistics of the run."""
        counts = {name: self.bridge.counts[name] for name in ("pages", "streams", "sent", "refused")}
        elapsed = time.monotonic() - self.began
        return PageReport(elapsed, self.samples, **counts, source=self.pipeline.stats())


def _drive(running: _Running, avatar: Avatar, seconds: float | None, notices: Notices, stop: Stop) -> bool:
    """Send poses; returns False once `stop` or Ctrl-C ends it, True after `seconds`."""
    from viewer.web.live_pose import pose_message

    bridge = running.bridge
    pipeline = running.pipeline
    last = note = ""
    noted = -_NOTE_PERIOD
    end = float("inf") if seconds is None else running.began + seconds
    with stoppable(stop, _CLOSING) as stopped:
        with suppress(KeyboardInterrupt):  # the second Ctrl-C, or the first one where nothing handles it
            while not stopped.is_set():
                if time.monotonic() >= end:
                    return True
                if bridge.take_calibration():
                    pipeline.calibrate()
                pose = pipeline.latest()
                running.samples += pose.fresh
                if (now := time.monotonic()) - noted >= _NOTE_PERIOD:
                    noted = now
                    source = pipeline.stats().get("input", {})
                    note = source.get("unused") or source.get("hidden", "")
                message = pose_message(avatar, pose, note)
                if message != last:
                    bridge.publish(message)
                last = message
                time.sleep(_PERIOD)
        notices.say(f"stopped by {cause_of(stopped)}")
        return False
