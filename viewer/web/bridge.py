"""Streams the poses of `headsplat live --web` to its page."""

from __future__ import annotations

import threading

from viewer.web.server import DEFAULT_PORT, LOOPBACK, PageServer

CALIBRATE = "calibrate"


class WebBridge(PageServer):
    """The server of the page of an avatar and of poses for it."""

    stream = "poses"
    max_message = 64
    max_messages = max_queue = 8

    def __init__(self, page: str, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> None:
        """Args: as for PageServer."""
        super().__init__(page, host, port)
        self._calibrate = threading.Event()

    def receive(self, message: str | bytes) -> str:
        """Only a request for a calibration is known."""
        if message != CALIBRATE:
            return "an unknown message"
        self._calibrate.set()
        return ""

    def take_calibration(self) -> bool:
        """Whether a page has requested a calibration since the last call."""
        requested = self._calibrate.is_set()
        self._calibrate.clear()
        return requested
