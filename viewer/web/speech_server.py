"""The server of `headsplat serve`: the voice of an agent in; face and sound, in step, out to any viewers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from http import HTTPStatus
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.performance.speech.stream import SpeechDriver, SpeechStream, SpokenFrame
from avatar.video.live import MEDIA_TYPE
from viewer.web.server import DEFAULT_PORT, LOOPBACK, PageServer, until_first
from viewer.web.speech_messages import BUNDLE, VERSION, AgentMessages, ProtocolError, bundle, event, pose_values
from viewer.web.speech_video import MAX_VIDEO_WAITING, MAX_VIDEOS, SpeechVideo

SPEAK, WATCH, VIDEO = "/speak", "/watch", "/video"
MAX_VIEWERS = 48
#: Bytes that wait for a client that does not read, in this program and in the system: two seconds of frames.
MAX_WAITING = 128 << 10
#: Messages and bytes a second of an agent, of which one second may come at once: beyond them it is read later.
MESSAGE_RATE, BYTE_RATE = 1000, 1 << 20
#: Seconds in which the place of an agent that leaves becomes free.
_LEAVING = 1.0
_OCCUPIED = "another agent speaks; close its connection first"


class SpeechServer(PageServer):
    """Serves the page of an avatar, one agent and many viewers."""

    max_message = 64 << 10
    max_queue = 16
    max_connections = MAX_VIEWERS + MAX_VIDEOS + 16

    def __init__(
        self,
        page: str,
        avatar: Avatar,
        stream: SpeechStream,
        host: str = LOOPBACK,
        port: int = DEFAULT_PORT,
        *,
        origins: Sequence[str] = (),
        video: SpeechVideo | None = None,
    ) -> None:
        """
        Args:
            page: as for PageServer.
            avatar: whose poses are sent.
            stream: its face; used in the server's thread only once it has started.
            host: as for PageServer.
            port: as for PageServer.
            origins: of further pages that may connect, such as "http://localhost:3000".
            video: the same stream as encoded video; None: there is no such path.
        """
        super().__init__(page, host, port)
        self._stream = stream
        self._drive = SpeechDriver(avatar)
        self._expressions = len(avatar.head.expression_names)
        self._origins = set(origins)
        self._video = video
        self._viewers: set[_Outbox] = set()
        self._agent: _Outbox | None = None
        self._bundled: list[tuple[SpokenFrame, Any]] = []
        #: What ended the frames, if anything did.
        self.failure: BaseException | None = None

    def is_stream(self, path: str) -> bool:
        """Whether a path is that of a stream."""
        return path in (SPEAK, WATCH) or (path == VIDEO and self._video is not None)

    def media_of(self, path: str) -> str:
        """The media type of an endless answer."""
        return MEDIA_TYPE if path == VIDEO else ""

    def may_connect(self, origins: Sequence[str], own: str) -> bool:
        """Programs, which have no origin, the page of the server, and those of the given origins."""
        return not origins or (len(origins) == 1 and origins[0] in {own, *self._origins})

    async def run_until_stopped(self) -> None:
        """Make a frame whenever its time has come."""
        self._vacant = asyncio.Event()
        self._vacant.set()
        making = [self._make_frames()] if self._video is None else [self._make_frames(), self._video.run()]
        await until_first(self._stopped.wait(), *map(self._watched, making))

    async def _watched(self, making: Coroutine[Any, Any, None]) -> None:
        try:
            await making
        except Exception as error:
            self.failure = error

    async def _make_frames(self) -> None:
        async for frame in self._stream:
            self._report(frame)
            self._show(frame)
            if self._video is not None:
                self._video.show(frame)

    def _report(self, frame: SpokenFrame) -> None:
        """Report what has ended to the agent."""
        if self._agent is not None:
            for segment in frame.ended:
                self._agent.put(event("ended", segment=segment, interrupted=frame.interrupted))

    def _show(self, frame: SpokenFrame) -> None:
        """Send frames to the viewers, BUNDLE at a time."""
        if not self._viewers:
            self._bundled.clear()
            return
        self._bundled.append((frame, pose_values(self._drive(frame))))
        if len(self._bundled) < BUNDLE:
            return
        frames, poses = zip(*self._bundled, strict=True)
        self._bundled.clear()
        message = bundle(frames[0].number, poses, np.concatenate([each.sound for each in frames]))
        for viewer in self._viewers:
            viewer.put(message)

    async def _serve_stream(self, connection: Any) -> None:
        """Talk to an agent or to a viewer until it leaves."""
        self.counts["streams"] += 1
        path = urlsplit(connection.request.path).path
        if path == VIDEO:
            await self._serve_video(connection)
        elif path == SPEAK:
            await self._serve_agent(connection)
        else:
            await self._serve_viewer(connection)

    def _problem(self, request: Any) -> tuple[HTTPStatus, str] | None:
        found = super()._problem(request)
        if found is None and self._video is not None and self._video.is_full and urlsplit(request.path).path == VIDEO:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_VIDEOS} viewers watch the video, which is the limit."
        return found

    async def _serve_video(self, connection: Any) -> None:
        assert self._video is not None
        if self._video.is_full:  # since it was answered
            connection.transport.abort()
            return
        _limit(connection, MAX_VIDEO_WAITING)
        handler = asyncio.current_task()
        self._streams.add(handler)  # the server waits for it before it closes connections
        try:
            await until_first(self._video.serve(connection), self._stopped.wait())
        finally:
            self._streams.discard(handler)

    def _hello(self, **more: object) -> str:
        return event("hello", version=VERSION, fps=self._stream.fps, rate=self._stream.rate, **more)

    async def _serve_viewer(self, connection: Any) -> None:
        if len(self._viewers) >= MAX_VIEWERS:
            await self._refuse(connection, f"{MAX_VIEWERS} viewers are connected, which is the limit")
            return
        outbox = _Outbox(connection)
        outbox.put(self._hello(expressions=self._expressions))
        self._viewers.add(outbox)
        try:
            await until_first(outbox.send(), self._refuse_messages(connection), self._stopped.wait())
        finally:
            self._viewers.discard(outbox)
            self.counts["sent"] += outbox.sent

    async def _refuse_messages(self, connection: Any) -> None:
        async for _ in connection:
            await self._refuse(connection, "a viewer sends no messages")
            return

    async def _serve_agent(self, connection: Any) -> None:
        if not self._vacant.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._vacant.wait(), _LEAVING)
        if not self._vacant.is_set():
            await self._refuse(connection, _OCCUPIED)
            return
        self._vacant.clear()
        self._agent = outbox = _Outbox(connection)
        outbox.put(self._hello(delay=round(self._stream.delay, 4), segment=self._stream.segment))
        try:
            await until_first(outbox.send(), self._listen_to_agent(connection, outbox), self._stopped.wait())
        finally:
            self._agent = None
            self._vacant.set()
            self._stream.end_segment()

    async def _listen_to_agent(self, connection: Any, outbox: _Outbox) -> None:
        messages = AgentMessages(self._stream)
        paid = time.monotonic() - 1  # the time up to which what was read is within the rates
        async for message in connection:
            now = time.monotonic()
            paid = max(paid, now - 1) + max(1 / MESSAGE_RATE, len(message) / BYTE_RATE)
            await asyncio.sleep(max(paid - now, 0))  # even 0 lets frames be made between two messages
            try:
                answer = messages.receive(message)
            except ProtocolError as error:
                await self._refuse(connection, str(error))
                return
            except HeadsplatError as error:
                answer = event("error", message=str(error))
            if answer is not None:
                outbox.put(answer)


def _limit(connection: Any, size: int) -> None:
    """Let the system keep about so many bytes that the client does not read."""
    connection.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, size)


class _Outbox:
    """Messages that wait for one client; one that does not read them is disconnected."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._queue: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._waiting = 0  # bytes
        self.sent = 0
        _limit(connection, MAX_WAITING)

    def put(self, message: str | bytes) -> None:
        """Send a message when those before it are sent."""
        if self._waiting + len(message) > MAX_WAITING:
            self._connection.transport.abort()
            return
        self._waiting += len(message)
        self._queue.put_nowait(message)

    async def send(self) -> None:
        """Send messages for ever."""
        while True:
            message = await self._queue.get()
            await self._connection.send(message)
            self._waiting -= len(message)
            self.sent += 1
