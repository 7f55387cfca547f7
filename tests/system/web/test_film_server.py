"""The server of `headsplat film --web`: who may film, what it bounds, and how the page's absence ends a recording."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from avatar.jobs.film_web import FilmPage
from avatar.jobs.notices import Notice, Notices
from capture.live.pushed import MAX_BYTES
from tests.capture.live.test_pushed import message
from tests.support.browser import Page
from viewer.session.film_view import FilmView
from viewer.web.film_server import FilmServer

client = pytest.importorskip("websockets.sync.client", reason="needs websockets (pip install websockets)")
exceptions = pytest.importorskip("websockets.exceptions")


@pytest.fixture
def images() -> list[bytes]:
    return []


@pytest.fixture
def server(images: list[bytes]) -> Iterator[FilmServer]:
    found = FilmServer(lambda image: images.append(image) or "", port=0)  # type: ignore[func-returns-value]
    found.start()
    yield found
    found.stop()


def connect(server: FilmServer, token: str | None = None, origin: str | None = None) -> Any:
    """A stream as the page opens it."""
    address = f"ws://127.0.0.1:{server.port}/film?token={token or server.token}"
    own = origin or f"http://127.0.0.1:{server.port}"
    return client.connect(address, origin=own, open_timeout=10, close_timeout=1, max_size=None, proxy=None)


@pytest.mark.parametrize(("token", "origin"), [("wrong", None), (None, "https://evil.example")])
def test_a_stranger_sees_and_sends_nothing(server: FilmServer, token: str | None, origin: str | None) -> None:
    with pytest.raises(exceptions.InvalidStatus):
        connect(server, token, origin)
    assert not server.counts["streams"]


def test_a_page_gets_states_and_sends_images_and_commands(server: FilmServer, images: list[bytes]) -> None:
    server.show(FilmView(words="smile"))
    with connect(server) as stream:
        assert json.loads(stream.recv(timeout=10))["words"] == "smile"
        stream.send(b"image")
        stream.send("skip")
        Page.wait_for(lambda: server.commands() == ["skip"], "the command")
        assert images == [b"image"] and server.commands() == []
        server.take(7.5)
        assert json.loads(stream.recv(timeout=10)) == {"taken": 7.5}
        server.show_avatar(b"avatar")
        assert stream.recv(timeout=10) == b"avatar"


def test_a_second_page_gets_a_sentence_until_the_first_one_leaves(server: FilmServer) -> None:
    with connect(server):
        Page.wait_for(lambda: server.absent_seconds == 0, "the page")
        with connect(server) as second, pytest.raises(exceptions.ConnectionClosed):
            second.recv(timeout=10)
        assert second.close_reason == "another page films already; close it, then load this one again"
    Page.wait_for(lambda: server.absent_seconds > 0, "the absence")
    server.show(FilmView(words="welcome"))
    with connect(server) as third:
        assert json.loads(third.recv(timeout=10))["words"] == "welcome"


@pytest.mark.parametrize(
    ("sent", "code"), [("stop", 1008), ("x" * 70_000, 1008), (b"x" * (FilmServer.max_message + 1), 1009)]
)
def test_what_no_page_sends_closes_its_stream(server: FilmServer, sent: str | bytes, code: int) -> None:
    with connect(server) as stream, pytest.raises(exceptions.ConnectionClosed):
        stream.send(sent)
        stream.recv(timeout=10)
    assert stream.close_code == code


def test_the_largest_image_fits_a_message() -> None:
    assert FilmServer.max_message == MAX_BYTES


@pytest.fixture
def page() -> Iterator[FilmPage]:
    """The page of a recording, which a stream of a test takes the place of."""
    with FilmPage(0, "with consent", Notices()) as found:
        yield found


def test_the_recording_waits_for_the_camera(page: FilmPage) -> None:
    with connect(page._server) as stream:
        stream.send(message(1.0))
        assert page.wait_for_camera(None)
        shown = json.loads(stream.recv(timeout=10))
    assert shown["note"].startswith("with consent ") and shown["phase"] == "filming" and not shown["recording"]


def test_quitting_before_the_camera_is_on_ends_the_wait(page: FilmPage) -> None:
    with connect(page._server) as stream:
        stream.send("quit")
        assert not page.wait_for_camera(None)
        shown = json.loads(stream.recv(timeout=10))
        while not shown["over"]:
            shown = json.loads(stream.recv(timeout=10))
    assert shown["words"] == "The recording was quit"


@pytest.mark.parametrize(("phase", "quits"), [("filming", True), ("working", False), ("ready", True)])
def test_a_page_that_stays_away_quits_unless_the_work_goes_on(
    page: FilmPage, monkeypatch: pytest.MonkeyPatch, phase: Any, quits: bool
) -> None:
    monkeypatch.setattr("avatar.jobs.film_web._RETURN_SECONDS", 0.2)
    commands: list[str] = []
    end = time.monotonic() + (10 if quits else 1)
    view = lambda: FilmView(phase=phase, over=bool(commands) or time.monotonic() > end)  # noqa: E731
    page.screen(view, commands.append).run()
    assert commands == (["quit"] if quits else [])


def test_the_address_is_reported() -> None:
    said: list[Notice] = []
    with FilmPage(0, "", Notices(said.append)) as page:
        assert getattr(said[0], "address", "") == page._server.address
        assert str(said[0]) == f"open {page._server.address} in a browser on this machine"
