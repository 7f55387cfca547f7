"""`headsplat live`: a camera, a phone, a voice or another program drives an avatar in a window or in a browser."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import printed, show
from avatar.cli.window import WindowedOptions, finish
from avatar.common.ranges import Between
from avatar.jobs.live_sources import SourceOptions
from avatar.jobs.live_window import live
from avatar.jobs.notices import Notify


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
        source = SourceOptions(self.webcam, self.listen, self.loop, self.torso, self.microphone)
        with printed() as notify:
            if self.web:
                from avatar.jobs.live_page import live_page

                run = live_page(self.avatar, source, port=self.port, notify=_addressed(notify), **self.window.of_run)
            else:
                run = live(self.avatar, **asdict(source), notify=notify, **self.window.of_run)
        return finish(run)


def _addressed(notify: Notify) -> Notify:
    """Like `notify`, with the address of the page on stdout."""
    from avatar.jobs.live_page import PageOpened

    return lambda notice: show(notice.text) if isinstance(notice, PageOpened) else notify(notice)
