"""`headsplat live`: a camera, a phone or a program drives an avatar in a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.window import WindowedOptions, run_window
from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class LiveCommand:
    """Drive an avatar live in a window: from a webcam, a video in its place, or an app that sends expressions."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    webcam: Annotated[str | None, arg(metavar="N|FILE")] = None
    """a camera's number, or a video that plays at its own rate; the first camera where nothing is given"""
    listen: Annotated[str | None, arg(metavar="livelink|vmc|ifacialmocap[:PORT]")] = None
    """an app that sends over the network drives instead"""
    loop: bool = False
    """start the video again at its end"""
    window: Annotated[WindowedOptions, arg(name="")] = field(default_factory=WindowedOptions)

    def run(self) -> int:
        """Open the window; returns the exit code once it is closed."""
        if self.webcam is not None and self.listen is not None:
            raise HeadsplatError("one drives at first: give --webcam or --listen, and choose the other in the window")
        return run_window(self.avatar, self.window, webcam=self.webcam, listen=self.listen, loop=self.loop, live=True)
