"""The server of `headsplat film --web`: images and commands of the page in, what it shows out."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeGuard, get_args

from viewer.session.film_view import Command, FilmView
from viewer.web.page import build_film_page
from viewer.web.server import DEFAULT_PORT, LOOPBACK, PageServer

_OCCUPIED = "another page films already; close it, then load this one again"


class FilmServer(PageServer):
    """Serves the page to this machine; one page at a time films."""

    stream = "film"
    max_message = 4 << 20
    max_messages = 40
    max_queue = 2

    def __init__(self, image: Callable[[bytes], str], port: int = DEFAULT_PORT) -> None:
        """
        Args:
            image: receives images of the camera as the page sends them; returns why one is refused, or nothing.
            port: as for PageServer.
        """
        super().__init__(build_film_page(), LOOPBACK, port)
        self._image = image
        self._commands: deque[Command] = deque()
        self._present = threading.Event()
        self._left_at = time.monotonic()

    def enter(self) -> str:
        """Refuse a second page."""
        if self._present.is_set():
            return _OCCUPIED
        self._present.set()
        return ""

    def leave(self) -> None:
        """Let another page in."""
        self._left_at = time.monotonic()
        self._present.clear()

    def receive(self, message: str | bytes) -> str:
        """An image, or a command."""
        if isinstance(message, bytes):
            return self._image(message)
        if not _is_command(message):
            return "an unknown message"
        self._commands.append(message)
        return ""

    def commands(self) -> Sequence[Command]:
        """What the page's user has asked for since the last call."""
        return [self._commands.popleft() for _ in range(len(self._commands))]

    @property
    def absent_seconds(self) -> float:
        """For how long there has been no page."""
        return 0.0 if self._present.is_set() else time.monotonic() - self._left_at

    def show(self, view: FilmView) -> None:
        """Show a state; its images are not sent."""
        self.publish(view_message(view), "view")

    def show_avatar(self, image: bytes) -> None:
        """Show an image file of the avatar."""
        self.publish(image, "avatar")

    def take(self, seconds: float) -> None:
        """Report that the image of this time was taken: the page can send another one."""
        self.publish(json.dumps({"taken": seconds}), "taken")


def view_message(view: FilmView) -> str:
    """A state without its images, for the page."""
    return json.dumps(
        {
            "recording": view.recording,
            "words": view.words,
            "warning": view.warning,
            "items": [(title, round(share, 3), status) for title, share, status in view.items],
            "ring": [round(share, 3) for share in view.ring],
            "pointing": view.pointing and [round(value, 3) for value in view.pointing],
            "share": round(view.share, 4),
            "note": view.note,
            "keys": view.keys,
            "phase": view.phase,
            "over": view.over,
        }
    )


def _is_command(text: str) -> TypeGuard[Command]:
    return text in get_args(Command)
