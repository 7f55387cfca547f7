"""`headsplat live --web`: a live source drives the avatar in the page of a browser."""

from __future__ import annotations

import json
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.interrupt import cause, stopped_by_interrupt
from avatar.cli.progress import say, show
from avatar.cli.window import LiveSources, SourceOptions, WindowedOptions
from avatar.common.files import shown, write_text
from avatar.errors import HeadsplatError
from avatar.jobs.appearance import read_in_appearance
from avatar.jobs.outputs import Output, reserved

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar
    from viewer.session.pose_sources import LivePipeline
    from viewer.web.bridge import WebBridge

_PERIOD = 1 / 120  # seconds between two looks for a new sample: sources have at most 60 a second


def run_web(path: Path, options: WindowedOptions, live: SourceOptions, port: int) -> int:
    """Serve the page of an avatar and drive it until the user stops it, then report statistics.

    Args:
        path: of the avatar.
        options: of the window: those that need one are refused.
        live: the source that drives the avatar.
        port: of the page; 0 for any free one.

    Returns:
        The exit code.

    Raises:
        HeadsplatError: an option that needs a window, or the source or the server cannot start.
    """
    _check(options)
    outputs = [] if options.json is None else [Output(options.json, "--json", (".json",))]
    with reserved(outputs, (path, live.microphone, live.webcam), overwrite=options.overwrite):
        return _run(path, options, live, port)


def _check(options: WindowedOptions) -> None:
    """Raise HeadsplatError for options of the window that the page does not have."""
    standard = WindowedOptions()
    for name in ("size", "background", "record", "virtual_camera", "device"):
        if getattr(options, name) != getattr(standard, name):
            raise HeadsplatError(f"--{name.replace('_', '-')} belongs to the window; leave it out with --web")


def _run(path: Path, options: WindowedOptions, live: SourceOptions, port: int) -> int:
    from avatar.export.web import web_container
    from avatar.model.parts.light.relight import baked, relit
    from viewer.web.bridge import LOOPBACK, WebBridge
    from viewer.web.page import build_page

    sources = LiveSources(live, options.host, options.phone)
    choice = next(each for each in sources.choices() if each.key == sources.first)
    header, avatar = read_in_appearance(path, options.appearance)
    relighting = options.light.relighting()
    shown_avatar = avatar if relighting is None else baked(relit(avatar, relighting))
    page = build_page(web_container(shown_avatar, header, path.stem), path.stem, live=True)
    bridge = WebBridge(page, LOOPBACK if options.host is None else options.host, port)
    pipeline = choice.make(avatar)
    with closing(_Running(bridge, pipeline)) as running:
        show(f"{shown(path.name)}, driven by {choice.label}: open {bridge.address}")
        if options.host is not None:
            say(f"listening on {options.host}: who can reach this address and has the token sees the avatar")
        finished = _drive(running, avatar, options.seconds)
        report = running.report()
    show("{seconds:.1f} s, {samples} poses, sent {sent} times to {streams} pages, {refused} refused".format(**report))
    if options.json is not None:
        write_text(options.json, json.dumps(report, indent=1))
    return DONE if finished else INTERRUPTED


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

    def report(self) -> dict[str, Any]:
        """Statistics of the run, in JSON's types."""
        counts = {name: self.bridge.counts[name] for name in ("pages", "streams", "sent", "refused")}
        elapsed = time.monotonic() - self.began
        return {"seconds": elapsed, "samples": self.samples, **counts, "source": self.pipeline.stats()}


def _drive(running: _Running, avatar: Avatar, seconds: float | None) -> bool:
    """Send poses; returns False once Ctrl-C, SIGTERM or SIGHUP ends it, True after `seconds`."""
    from viewer.web.live_pose import pose_message

    bridge = running.bridge
    pipeline = running.pipeline
    last = ""
    end = float("inf") if seconds is None else running.began + seconds
    with suppress(KeyboardInterrupt), stopped_by_interrupt("closing the page's server") as stop:
        while not stop.is_set():
            if time.monotonic() >= end:
                return True
            if bridge.take_calibration():
                pipeline.calibrate()
            pose = pipeline.latest()
            running.samples += pose.fresh
            message = pose_message(avatar, pose)
            if message != last:
                bridge.publish(message)
            last = message
            time.sleep(_PERIOD)
    say(f"stopped by {cause()}")
    return False
