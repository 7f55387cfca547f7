"""Speaks through an avatar that `headsplat serve` serves; needs the package websockets, not PyTorch or the avatar."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.performance.speech.pcm import pcm16

VERSION = 1
#: Bytes of sound in a message.
_PIECE = 16 << 10
Samples = NDArray[np.floating] | NDArray[np.int16]


class SpeechClient:
    """The connection of an agent: `async with SpeechClient(address) as voice`, in one event loop."""

    def __init__(self, address: str) -> None:
        """Args: the address that `headsplat serve` has printed, token included."""
        parts = urlsplit(address)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        self._address = urlunsplit((scheme, parts.netloc, "/speak", parts.query, ""))
        self._socket: Any = None
        self._rate: float | None = None
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._states: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        #: Of the server: frames per second, samples per second, delay in seconds, number of the next segment.
        self.hello: Mapping[str, Any] = {}

    async def __aenter__(self) -> SpeechClient:
        """Connect.

        Raises:
            HeadsplatError: websockets is not installed, nothing serves at the address, the token is wrong, or another
                agent speaks.
        """
        try:
            from websockets.asyncio.client import connect
            from websockets.exceptions import WebSocketException
        except ImportError as error:
            raise HeadsplatError("SpeechClient needs websockets; install it with `pip install websockets`") from error
        place = urlsplit(self._address).netloc
        try:
            self._socket = await connect(self._address, compression=None, proxy=None)
            self.hello = json.loads(await self._socket.recv())
        except (OSError, WebSocketException, ValueError) as error:
            reason = self._socket.close_reason if self._socket is not None else ""
            raise HeadsplatError(f"cannot speak at {place}: {reason or error}") from error
        if self.hello.get("version") != VERSION:
            await self._socket.close()
            raise HeadsplatError(f"{place} has version {self.hello.get('version')} of the protocol, expected {VERSION}")
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; what was pushed is spoken to its end."""
        await self._socket.close()
        await self._reader

    async def push_audio(self, samples: Samples, rate: float) -> None:
        """Append sound of the voice.

        Args:
            samples: [n] of -1..1 or 16-bit integers.
            rate: samples per second, 8,000 to 48,000.
        """
        if rate != self._rate:
            await self._send("start", rate=rate)
            self._rate = rate
        data = _pcm(samples)
        for at in range(0, len(data), _PIECE):
            await self._socket.send(data[at : at + _PIECE])

    async def push_text(self, text: str) -> None:
        """Append what the voice says in this segment, before its sound or while it comes: English."""
        await self._send("text", text=text)

    async def push_heard(self, samples: Samples, rate: float) -> None:
        """What the other side of the conversation says now. Args: as of `push_audio`."""
        data = _pcm(samples)
        for at in range(0, len(data), _PIECE):
            await self._send("heard", rate=rate, sound=base64.b64encode(data[at : at + _PIECE]).decode())

    async def emotion(self, name: str | Mapping[str, float], amount: float = 1.0, seconds: float = 0.4) -> None:
        """Change the expression under the speech: a preset or ARKit weights, 0 to 1.5, and in how many seconds."""
        await self._send("emotion", name=name if isinstance(name, str) else dict(name), amount=amount, seconds=seconds)

    async def end_segment(self) -> None:
        """The voice has nothing more to say in this turn."""
        await self._send("end")

    async def interrupt(self) -> None:
        """Be silent now."""
        await self._send("interrupt")

    async def state(self) -> dict[str, Any]:
        """`time` of the stream, `waiting` sound and `delay`, seconds, and the `segment` that is pushed to."""
        await self._send("state")
        state = await self._states.get()
        if state is None:
            raise self._gone()
        return state

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What the server reports, until the connection ends: segments that have `ended`, `error` with a sentence."""
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)

    async def ended(self) -> dict[str, Any]:
        """Wait until the next segment has ended.

        Raises:
            HeadsplatError: the server refuses a message, or the connection has ended.
        """
        async for event in self.events():
            if event["type"] == "ended":
                return event
            raise HeadsplatError(event["message"])
        raise self._gone()

    def _gone(self) -> HeadsplatError:
        return HeadsplatError(f"the connection has ended: {self._socket.close_reason or 'the server has stopped'}")

    async def _send(self, kind: str, **entries: object) -> None:
        await self._socket.send(json.dumps({"type": kind, **entries}))

    async def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async for message in self._socket:
                event = json.loads(message)
                (self._states if event["type"] == "state" else self._events).put_nowait(event)
        except ConnectionClosed:
            pass
        finally:
            self._events.put_nowait(None)
            self._states.put_nowait(None)


def _pcm(samples: Samples) -> bytes:
    return samples.astype("<i2").tobytes() if samples.dtype == np.int16 else pcm16(samples.astype(np.float32))
