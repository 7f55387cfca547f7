"""Agents and viewers of a server of `headsplat serve` in this process."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from avatar.performance.speech.client import SpeechClient
from viewer.web.speech_messages import BUNDLE, read_bundle
from viewer.web.speech_server import SpeechServer

client = pytest.importorskip("websockets.sync.client", reason="needs websockets (pip install websockets)")
TIMEOUT = 60.0


def connect(server: SpeechServer, role: str, token: str | None = None, origin: str | None = None, **more: Any) -> Any:
    """A stream as a program would open it."""
    address = f"ws://127.0.0.1:{server.port}/{role}?token={server.token if token is None else token}"
    return client.connect(address, origin=origin, open_timeout=10, close_timeout=1, max_size=None, proxy=None, **more)


@contextmanager
def started(server: SpeechServer) -> Iterator[None]:
    """The server runs for the block, and has not failed at its end."""
    server.start()
    try:
        yield
        assert server.failure is None
    finally:
        server.stop()


class Watcher:
    """A viewer, and all that it has received."""

    def __init__(self, server: SpeechServer) -> None:
        self._stream = connect(server, "watch").__enter__()
        self.hello = json.loads(self._stream.recv(timeout=10))
        self.frames: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for message in self._stream:
            self.frames.append(read_bundle(message))

    @property
    def first(self) -> int:
        """Number of the first frame."""
        return self.frames[0][0]

    @property
    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.frames]

    @property
    def poses(self) -> np.ndarray:
        """[frames,E+18]"""
        return np.concatenate([poses for _, poses, _ in self.frames])

    @property
    def sound(self) -> np.ndarray:
        """[n] -1..1"""
        return np.concatenate([sound for _, _, sound in self.frames]) / np.float32(32767)

    def wait(self, condition: Callable[[Watcher], bool]) -> None:
        """Wait until more frames fulfill a condition."""
        end = time.monotonic() + TIMEOUT
        while not (self.frames and condition(self)):
            assert time.monotonic() < end
            time.sleep(0.02)

    def more(self, count: int = 10) -> None:
        """Wait for so many more messages; none is missing."""
        reached = len(self.frames) + count
        self.wait(lambda each: len(each.frames) >= reached)
        assert set(np.diff(self.numbers)) <= {BUNDLE}

    def close(self) -> None:
        self._stream.close()
        self._thread.join(10)


def speak(server: SpeechServer, talk: Callable[[SpeechClient], Coroutine[Any, Any, Any]]) -> Any:
    """Let an agent talk with Python's client; what it returns."""

    async def run() -> Any:
        async with SpeechClient(server.address) as voice:
            return await asyncio.wait_for(talk(voice), TIMEOUT)

    return asyncio.run(run())


def noise(seconds: float, rate: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def handshake(server: SpeechServer, role: str) -> socket.socket:
    """A stream whose small receive buffer nobody reads."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.connect(("127.0.0.1", server.port))
    found.sendall(
        f"GET /{role}?token={server.token} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return found
