"""`headsplat live`: a camera, a phone or another program drives an avatar in a window or in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import Between
from avatar.cli.window import SourceOptions, WindowedOptions, run_window
from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class LiveCommand:
    """Drive an avatar live in a window or a browser: from a webcam, a video file, or an app that sends expressions."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    webcam: Annotated[str | None, arg(metavar="N|FILE")] = None
    """a camera number, or a video file that plays at its frame rate; default: the first camera"""
    listen: Annotated[str | None, arg(metavar="livelink|vmc|ifacialmocap[:PORT]")] = None
    """use an app that sends expressions over the network instead"""
    loop: bool = False
    """restart the video at its end"""
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
        if self.webcam is not None and self.listen is not None:
            raise HeadsplatError("give --webcam or --listen; the other can be selected in the window")
        live = SourceOptions(self.webcam, self.listen, self.loop, self.torso)
        if self.web:
            from avatar.cli.web_live import run_web

            return run_web(self.avatar, self.window, live, self.port)
        return run_window(self.avatar, self.window, live=live)
