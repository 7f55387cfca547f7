"""`headsplat live`: a camera, a phone, a voice or another program drives an avatar in a window or in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import printed
from avatar.cli.window import finish
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.live_sources import SourceOptions
from avatar.jobs.live_window import LiveOptions, live


@dataclass(frozen=True)
class LiveCommand:
    """Drive an avatar live in a window or a browser: from a webcam, a video file, a voice, or an app that
    sends expressions."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    source: Annotated[SourceOptions, arg(name="")] = field(default_factory=SourceOptions)
    web: bool = False
    """serve a page with the avatar instead of opening a window; it is for browsers of this machine, and with --host
    for others"""
    port: Annotated[int, Between(0, 65535)] = 8787
    """--web: port of the page; 0: any free one"""
    obs: bool = False
    """--web: the page shows the avatar alone, without a background, at an address that stays: for a browser source"""
    options: Annotated[LiveOptions, arg(name="")] = field(default_factory=LiveOptions)

    def run(self) -> int:
        """Open the window or serve the page; returns the exit code once it is closed."""
        if self.obs and not self.web:
            raise HeadsplatError("--obs goes with --web; add it")
        with printed() as notify:
            if self.web:
                from avatar.jobs.live_web import live_page

                run = live_page(
                    self.avatar,
                    self.source,
                    self.options,
                    port=self.port,
                    obs=self.obs,
                    notify=notify,
                    stop=stopped_by_interrupt,
                )
            else:
                run = live(self.avatar, self.source, self.options, notify=notify, stop=stopped_by_interrupt)
        return finish(run)
