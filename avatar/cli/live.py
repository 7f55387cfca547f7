"""`headsplat live`: a camera, a phone, a voice or another program drives an avatar in a window or in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.window import SourceOptions, WindowedOptions, run_window
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class LiveCommand:
    """Drive an avatar live in a window or a browser: from a webcam, a video file, a voice, or an app that
    sends expressions."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    webcam: Annotated[str | None, arg(metavar="N|FILE")] = None
    """a camera number, or a video file that plays at its frame rate; default: the first camera"""
    listen: Annotated[str | None, arg(metavar="livelink|vmc|ifacialmocap[:PORT]")] = None
    """use an app that sends expressions over the network instead"""
    microphone: Annotated[str | None, arg(metavar="default|N|NAME|FILE")] = None
    """speech drives the mouth instead: of the system's microphone, of another one by number or name, or of a sound file
    that plays"""
    loop: bool = False
    """restart the file at its end"""
    torso: bool = True
    """the avatar's torso moves as the driver's does in the camera's image; off: as in training, with the head"""
    web: bool = False
    """serve a page with the avatar instead of opening a window; it is for browsers of this machine, and with --host
    for others"""
    port: Annotated[int, Between(0, 65535)] = 8787
    """--web: port of the page; 0: any free one"""
    window: Annotated[WindowedOptions, arg(name="")] = field(default_factory=WindowedOptions)

    def run(self) -> int:
        """Open the window or serve the page; returns the exit code once it is closed."""
        given = [self.webcam, self.listen, self.microphone]
        if sum(source is not None for source in given) > 1:
            raise HeadsplatError(
                "give one of --webcam, --listen and --microphone; the others can be selected in the window"
            )
        live = SourceOptions(self.webcam, self.listen, self.loop, self.torso, self.microphone)
        if self.web:
            from avatar.cli.web_live import run_web

            return run_web(self.avatar, self.window, live, self.port)
        return run_window(self.avatar, self.window, live=live)
