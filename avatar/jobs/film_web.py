"""A page of a browser on this machine in the place of the window of a recording: its camera, and what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from avatar.jobs.live_web import PageOpened
from avatar.jobs.notices import Notices, Stop, stoppable

if TYPE_CHECKING:
    from types import TracebackType

    from viewer.session.film_view import Command, FilmView

_PERIOD = 1 / 20  # seconds between two states of the page, and between two images of the avatar
#: Seconds after which a page that was closed while it films does not come back.
_RETURN_SECONDS = 15.0
_JPEG_QUALITY = 88
_WORDS = "Sit down in front of the camera, with light from the front"
_DURATION = "The recording takes 25 to 60 seconds, the avatar one to two minutes more."
_ENDING = "nothing was recorded"


class FilmPage:
    """The page, while the block runs."""

    def __init__(self, port: int, consent: str, notices: Notices) -> None:
        """
        Args:
            port: of the page; 0 for any free one.
            consent: a line that the page shows before it starts the camera.
            notices: receives the address.

        Raises:
            HeadsplatError: the package websockets is missing.
        """
        from capture.live.pushed import PushedFeed
        from viewer.web.film_server import FilmServer

        self._consent = consent
        self._notices = notices
        self.feed = PushedFeed("the browser's camera", lambda seconds: self._server.take(seconds))
        self._server = FilmServer(self.feed.push, port)
        self._shown: FilmView | None = None

    def __enter__(self) -> FilmPage:
        """Start to serve; raises HeadsplatError where that fails."""
        self._server.start()
        sentence = f"open {self._server.address} in a browser on this machine"
        self._notices.notify(PageOpened(sentence, self._server.address))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the recording and the page."""
        self.feed.interrupt()
        self._server.stop()

    def wait_for_camera(self, stop: Stop) -> bool:
        """Wait until the page sends images; False where its user or `stop` quits before."""
        from viewer.session.film_view import FilmView

        self._show(FilmView(words=_WORDS, note=f"{self._consent} {_DURATION}", keys="Q: quit"))
        with stoppable(stop, _ENDING) as stopped, suppress(KeyboardInterrupt):
            while not stopped.is_set() and "quit" not in self._server.commands():
                if self.feed.wait(_PERIOD):
                    return True
        self._show(FilmView(words="The recording was quit", over=True))
        return False

    def screen(self, view: Callable[[], FilmView], command: Callable[[Command], object]) -> FilmPage:
        """Prepare `run`: what to show, and what receives the commands of the user, as for `FilmWindow`."""
        self._view = view
        self._command = command
        return self

    def run(self) -> None:
        """Show the recording until it is over, or the page is closed and what it shows needs it."""
        while True:
            view = self._view()
            self._show(view)
            if view.over:
                return
            commands = self._server.commands()
            if view.phase != "working" and self._server.absent_seconds > _RETURN_SECONDS:
                commands = ["quit"]
            for each in commands:
                self._command(each)
            time.sleep(_PERIOD)

    def _show(self, view: FilmView) -> None:
        self._server.show(view)
        before = self._shown
        if view.avatar is not None and (before is None or view.avatar is not before.avatar):
            from avatar.common.image_io import encode_jpeg

            self._server.show_avatar(encode_jpeg(view.avatar[..., ::-1], _JPEG_QUALITY))
        self._shown = view
