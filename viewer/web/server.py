"""Serves one page and streams messages to it over a WebSocket, with the package websockets.

Who opens the page needs the token of its address. What a stranger can send is bounded: connections, their handshakes,
and messages in size and number; subclasses check their content.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from avatar.common.cache import user_cache
from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8787
MAX_CONNECTIONS = 16
#: Seconds in which a page sends at most `PageServer.max_messages` texts.
PERIOD = 2.0
_HANDSHAKE_SECONDS = 5.0
#: Seconds in which the last messages reach the pages when the server stops.
_FAREWELL_SECONDS = 1.0
_TOKEN_LETTERS = 16
_REFUSED = 1008  # WebSocket close code: policy violation
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Type": "text/html; charset=utf-8",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # refused strangers are counted, not printed


class PageServer:
    """A server of one page and of messages for it, in a thread of its own."""

    #: Path of the stream beside the page, bytes of a message of the page at most, and texts of it in PERIOD.
    stream: ClassVar[str]
    max_message: ClassVar[int]
    max_messages: ClassVar[int]
    #: Messages of a page that wait at most.
    max_queue: ClassVar[int]
    max_connections: ClassVar[int] = MAX_CONNECTIONS

    def __init__(self, page: str, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> None:
        """
        Args:
            page: HTML of the page.
            host: IPv4 address of this machine to listen on, or a name of it; "0.0.0.0" for all its addresses.
            port: 0 for any free one (see `address` after start).

        Raises:
            HeadsplatError: the package websockets is missing.
        """
        try:
            from websockets.asyncio.server import serve
        except ImportError as error:
            raise HeadsplatError("a page needs websockets; install it with `pip install websockets`") from error
        self._serve = serve
        self._page = page.encode()
        self.host = host
        self.port = port
        self.token = secrets.token_urlsafe(16)
        self._alone = ""  # what the address says of a page that shows the avatar alone
        #: Counts since the start: pages, streams, sent messages, refused requests and connections.
        self.counts: Counter[str] = Counter()
        self._messages: dict[str, str | bytes] = {}
        self._streams: set[Any] = set()
        self._started = threading.Event()
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> str:
        """Why a page that connects is refused; empty: it is not. Called in the server's thread."""
        return ""

    def leave(self) -> None:
        """A page that was not refused has left. Called in the server's thread."""

    def receive(self, message: str | bytes) -> str:
        """Take a message of a page; why its stream is closed, or empty. Called in the server's thread."""
        return "no message is expected"

    def is_stream(self, path: str) -> bool:
        """Whether a path is that of a stream."""
        return path == f"/{self.stream}"

    def media_of(self, path: str) -> str:
        """The media type of an endless answer, which `_serve_stream` writes to the transport; "": it is a WebSocket."""
        return ""

    def may_connect(self, origins: Sequence[str], own: str) -> bool:
        """Whether a stream is opened with these Origin headers; `own` is that of the page of the server."""
        return list(origins) == [own]

    @property
    def address(self) -> str:
        """The address of the page, token included."""
        host = LOOPBACK if self.host == "0.0.0.0" else self.host
        return f"http://{host}:{self.port}/?token={self.token}{self._alone}"

    def show_alone(self) -> None:
        """The page shows the avatar alone, on nothing, at an address that stays the same from run to run: for a program
        that mixes pictures, which stores the address."""
        self.token = stored_token()
        self._alone = "&alone"

    def start(self) -> None:
        """Start to serve; raises HeadsplatError where it cannot listen."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="web bridge", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            reason = getattr(self._error, "strerror", None) or str(self._error)
            remedy = "--port" if self.host == LOOPBACK else "--port or --host"
            raise HeadsplatError(f"cannot serve on {self.host}, port {self.port}: {reason}; choose another {remedy}")

    def stop(self) -> None:
        """Close all connections, after what was published last, and end the thread."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)
            self._thread.join()

    def publish(self, message: str | bytes, kind: str = "") -> None:
        """Send a message to all pages; a page that is slow gets the newest one of each kind only."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._replace, message, kind)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()
        try:
            server = await self._serve(
                self._serve_stream,
                self.host,
                self.port,
                process_request=self._answer,
                create_connection=_limited_connection(self.counts, self.max_connections),
                compression=None,
                max_size=self.max_message,
                max_queue=self.max_queue,
                open_timeout=_HANDSHAKE_SECONDS,
                close_timeout=_FAREWELL_SECONDS,
                server_header=None,
                logger=_log,
            )
        except Exception as error:  # `start` waits: it must hear of any error
            self._error = error
            self._started.set()
            return
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self.run_until_stopped()
            if self._streams:
                await asyncio.wait(self._streams, timeout=_FAREWELL_SECONDS)

    async def run_until_stopped(self) -> None:
        """What the server does beside answering; ends once it is stopped."""
        await self._stopped.wait()

    def _stop(self) -> None:
        self._stopped.set()
        self._changed.set()

    def _replace(self, message: str | bytes, kind: str) -> None:
        self._messages[kind] = message
        changed = self._changed
        self._changed = asyncio.Event()
        changed.set()

    def _answer(self, connection: Any, request: Any) -> Any:
        """The answer to a request; None accepts it as a WebSocket."""
        problem = self._problem(request)
        path = urlsplit(request.path).path
        if problem is None and self.is_stream(path):
            return self._endless(connection, request, self.media_of(path)) if self.media_of(path) else None
        if problem is None and path != "/":
            problem = HTTPStatus.NOT_FOUND, "There is no such page."
        if problem is not None:
            self.counts["refused"] += 1
            return connection.respond(problem[0], problem[1] + "\n")
        self.counts["pages"] += 1
        response = connection.respond(HTTPStatus.OK, "")
        _set(response.headers, {**_HEADERS, "Content-Length": str(len(self._page))})
        response.body = self._page
        return response

    def _endless(self, connection: Any, request: Any, media: str) -> Any:
        """The answer to which `_serve_stream` appends until the connection ends."""
        from websockets.http11 import Response

        class Endless(Response):
            """websockets goes on after the status 101 only; what is sent says 200."""

            def serialize(self) -> bytes:
                return Response(HTTPStatus.OK, "OK", self.headers).serialize()

        connection.ping_interval = None  # nothing but the body is sent
        headers = connection.respond(HTTPStatus.OK, "").headers
        del headers["Content-Length"]
        _set(headers, {**_HEADERS, "Content-Type": media})
        if origin := _only(request.headers, "Origin"):  # one that may connect
            headers["Access-Control-Allow-Origin"] = origin
        return Endless(HTTPStatus.SWITCHING_PROTOCOLS, "", headers)

    def _problem(self, request: Any) -> tuple[HTTPStatus, str] | None:
        """Why a request is refused: another host name (DNS rebinding), a wrong token, or a page of another origin."""
        host = _only(request.headers, "Host")
        if not self._is_own(host):
            return HTTPStatus.FORBIDDEN, "Open the address that headsplat has printed."
        parts = urlsplit(request.path)
        token = parse_qs(parts.query).get("token", [""])[0]
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return HTTPStatus.FORBIDDEN, "The token is wrong; open the address that headsplat has printed."
        if self.is_stream(parts.path) and not self.may_connect(request.headers.get_all("Origin"), f"http://{host}"):
            return HTTPStatus.FORBIDDEN, "Another page may not connect."
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server: a foreign name that resolves to this address is refused."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        if name == self.host or (self.host == LOOPBACK and name == "localhost"):
            return True
        return self.host == "0.0.0.0" and _is_address(name)

    async def _serve_stream(self, connection: Any) -> None:
        """Send messages to a page until it leaves or sends what no page of ours sends."""
        self.counts["streams"] += 1
        if refusal := self.enter():
            await self._refuse(connection, refusal)
            return
        handler = asyncio.current_task()
        self._streams.add(handler)
        try:
            await until_first(self._send(connection), self._listen(connection))
        finally:
            self._streams.discard(handler)
            self.leave()

    async def _send(self, connection: Any) -> None:
        """Send what is new, until the server stops."""
        sent: dict[str, str | bytes] = {}
        while True:
            changed = self._changed
            news = [(kind, each) for kind, each in self._messages.items() if sent.get(kind) != each]
            if not news and self._stopped.is_set():
                return
            if not news:
                await changed.wait()
            for kind, message in news:
                await connection.send(message)
                self.counts["sent"] += 1
                sent[kind] = message

    async def _listen(self, connection: Any) -> None:
        times: deque[float] = deque(maxlen=self.max_messages)
        async for message in connection:
            problem = ""
            if isinstance(message, str):
                now = time.monotonic()
                if len(times) == self.max_messages and now - times[0] < PERIOD:
                    problem = "too many messages"
                times.append(now)
            if problem := problem or self.receive(message):
                await self._refuse(connection, problem)
                return

    async def _refuse(self, connection: Any, reason: str) -> None:
        self.counts["refused"] += 1
        await connection.close(_REFUSED, reason)


def stored_token() -> str:
    """The token of pages whose address stays: made at the first use, in the user's cache folder."""
    path = user_cache("page") / "token.txt"
    with suppress(OSError, UnicodeDecodeError):
        if len(token := path.read_text("ascii").strip()) >= _TOKEN_LETTERS:
            return token
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # no one else reads it
    token = secrets.token_urlsafe(16)
    with atomic_path(path) as temporary:
        temporary.write_text(token, "ascii")
    return token


async def until_first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run them until one ends, in whatever way; the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _limited_connection(counts: Counter[str], most: int) -> type[Any]:
    """The class of connections: those beyond `most` are closed before they can send anything."""
    from websockets.asyncio.server import ServerConnection

    opened: set[Any] = set()

    class LimitedConnection(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            opened.add(self)
            if len(opened) > most:
                counts["refused"] += 1
                self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            opened.discard(self)
            super().connection_lost(exc)

    return LimitedConnection


def _set(headers: Any, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name in headers:
            del headers[name]  # setting one adds it
        headers[name] = value


def _only(headers: Any, name: str) -> str:
    """The value of a header; empty where it is missing or repeated."""
    values = headers.get_all(name)
    return values[0] if len(values) == 1 else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
