"""A headless Chromium, driven through its debugging pipe: no port, no driver, no network."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-first-run", "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
#: Seconds after which a page that does not answer is a failure.
TIMEOUT = 60.0


def find_chromium() -> str | None:
    """Path of an installed Chromium; None without one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def chromium(profile: Path, size: tuple[int, int] = (1000, 700), options: tuple[str, ...] = ()) -> Iterator[Page]:
    """The only page of a new browser.

    Args:
        profile: an empty folder for the browser's files.
        size: of its window, pixels.
        options: further ones of the command.
    """
    executable = find_chromium()
    assert executable is not None
    commands, to_browser = os.pipe()
    from_browser, replies = os.pipe()
    command = [
        executable, *_OPTIONS, *options, f"--user-data-dir={profile}",
        f"--window-size={size[0]},{size[1]}", "about:blank",
    ]  # fmt: skip
    # Chromium reads commands from file 3 and writes replies to file 4.
    shell = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{replies}', "bash", *command]
    process = subprocess.Popen(shell, pass_fds=(commands, replies), stderr=subprocess.DEVNULL)
    os.close(commands)
    os.close(replies)
    try:
        yield Page(to_browser, from_browser)
    finally:
        process.terminate()
        process.wait(30)
        os.close(to_browser)


class Page:
    """One page; `events` are what the browser has reported about it."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to_browser, self._from_browser = to_browser, os.fdopen(from_browser, "rb")
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(entry["targetId"] for entry in targets if entry["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the Chrome DevTools protocol."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive()
            if reply.get("id") == number:
                assert "error" not in reply, (method, reply["error"])
                return dict(reply["result"])
            self.events.append(reply)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            found = os.read(self._from_browser.fileno(), 1 << 20)
            assert found, "the browser has ended"
            self._rest += found
        text, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(text))

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file, with a fragment of its address, and wait until its avatar is shown or has failed."""
        self.visit(path.as_uri() + fragment)

    def visit(self, address: str) -> None:
        """Load a page from an address, and wait until its avatar is shown or has failed."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.wait("typeof headsplat === 'object'")
        self.run("headsplat.then((app) => { globalThis.app = app; })")
        self.wait("!app || (app.player.frame && !app.player.isBusy && !app.isChanged)")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in reply, reply.get("exceptionDetails")
        return reply["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        self.wait_for(lambda: bool(self.run(f"Boolean({condition})")), condition)

    @staticmethod
    def wait_for(condition: Callable[[], bool], description: str, seconds: float = TIMEOUT) -> None:
        """Wait until `condition` holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s: {description}"
            time.sleep(0.05)

    def image(self, script: str) -> np.ndarray:
        """RGB [H,W,3] uint8 of an expression in the page that gives a data URL of a PNG file."""
        data = np.frombuffer(base64.b64decode(self.run(script).partition(",")[2]), np.uint8)
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    def addresses(self) -> set[str]:
        """Schemes of all addresses that the page has requested."""
        requests = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return {entry["request"]["url"].partition(":")[0] for entry in requests}

    def errors(self) -> list[Any]:
        """Exceptions and errors that the page has reported."""
        return [
            event["params"]
            for event in self.events
            if event.get("method") == "Runtime.exceptionThrown"
            or (event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error")
        ]
