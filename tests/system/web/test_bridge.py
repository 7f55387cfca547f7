"""The server of `headsplat live --web`: who may read the poses, and what it bounds."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from avatar.driving.live.samples import AvatarPose
from avatar.errors import HeadsplatError
from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from avatar.model.torso import MeasuredTorso
from viewer.web.bridge import CALIBRATE, WebBridge
from viewer.web.live_pose import pose_message
from viewer.web.server import MAX_CONNECTIONS

client = pytest.importorskip("websockets.sync.client", reason="needs websockets (pip install websockets)")
exceptions = pytest.importorskip("websockets.exceptions")

PAGE = "<!doctype html><title>me</title>"


@pytest.fixture
def bridge() -> Iterator[WebBridge]:
    found = WebBridge(PAGE, port=0)
    found.start()
    try:
        yield found
    finally:
        found.stop()


def get(bridge: WebBridge, path: str, host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{bridge.port}"})
    response = connection.getresponse()
    return response.status, response.read().decode(), {key.lower(): value for key, value in response.getheaders()}


def connect(bridge: WebBridge, token: str | None = None, origin: str | None = "own") -> Any:
    """A stream as a page would open it."""
    own = f"http://127.0.0.1:{bridge.port}"
    address = f"ws://127.0.0.1:{bridge.port}/poses?token={bridge.token if token is None else token}"
    sent = own if origin == "own" else origin
    return client.connect(address, origin=sent, open_timeout=10, close_timeout=1, max_size=None, proxy=None)


def test_the_page_is_served_to_who_has_the_token(bridge: WebBridge) -> None:
    status, text, headers = get(bridge, f"/?token={bridge.token}")
    assert (status, text) == (200, PAGE)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "host", "status", "message"),
    [
        ("/", None, 403, "The token is wrong; open the address that headsplat has printed."),
        ("/?token=", None, 403, "The token is wrong"),
        ("/?token=%ff%C3%A9", None, 403, "The token is wrong"),
        ("/poses?token=wrong", None, 403, "The token is wrong"),
        ("/?token={}", "evil.example:{}", 403, "Open the address that headsplat has printed."),
        ("/?token={}", "127.0.0.1:1", 403, "Open the address that headsplat has printed."),
        ("/other?token={}", None, 404, "There is no such page."),
    ],
)
def test_other_requests_are_refused(bridge: WebBridge, path: str, host: str | None, status: int, message: str) -> None:
    found = get(bridge, path.format(bridge.token), host and host.format(bridge.port))
    assert found[0] == status and found[1].startswith(message)
    assert PAGE not in found[1]
    assert bridge.counts["refused"] == 1


@pytest.mark.parametrize(
    ("token", "origin"), [("wrong", "own"), (None, "https://evil.example"), (None, "null"), (None, None)]
)
def test_a_stream_with_a_wrong_token_or_origin_is_refused(
    bridge: WebBridge, token: str | None, origin: str | None
) -> None:
    with pytest.raises(exceptions.InvalidStatus) as caught:
        connect(bridge, token, origin)
    assert caught.value.response.status_code == 403


def test_a_page_gets_the_newest_pose_and_each_later_one(bridge: WebBridge) -> None:
    bridge.publish("first")
    bridge.publish("second")
    with connect(bridge) as stream:
        assert stream.recv(timeout=10) == "second"
        bridge.publish("third")
        assert stream.recv(timeout=10) == "third"


def test_a_page_that_does_not_read_delays_no_other(bridge: WebBridge) -> None:
    long = "x" * (1 << 20)
    with connect(bridge) as idle, connect(bridge) as reading:
        for number in range(64):  # more than the buffers of a socket
            bridge.publish(f"{number} {long}")
            assert reading.recv(timeout=10).split()[0] == str(number)
        assert idle.recv(timeout=10)
        skipped = bridge.counts["sent"]
        assert skipped < 2 * 64  # the idle page has not got each of them


def test_a_page_can_request_a_calibration_once(bridge: WebBridge) -> None:
    with connect(bridge) as stream:
        stream.send(CALIBRATE)
        end = time.monotonic() + 10
        while not bridge.take_calibration():
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not bridge.take_calibration()


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        ([CALIBRATE] * (WebBridge.max_messages + 1), 1008, "too many messages"),
        (["stop"], 1008, "an unknown message"),
        ([b"calibrate"], 1008, "an unknown message"),
        (["x" * (WebBridge.max_message + 1)], 1009, ""),
    ],
)
def test_what_no_page_sends_closes_its_stream(bridge: WebBridge, messages: list[Any], code: int, reason: str) -> None:
    with connect(bridge) as stream, connect(bridge) as other:
        with pytest.raises(exceptions.ConnectionClosed):
            for message in messages:
                stream.send(message)
            stream.recv(timeout=10)
        assert stream.close_code == code and reason in (stream.close_reason or "")
        bridge.publish("pose")
        assert other.recv(timeout=10) == "pose"


def test_a_flood_of_connections_is_bounded(bridge: WebBridge) -> None:
    opened = [socket.create_connection(("127.0.0.1", bridge.port), timeout=10) for _ in range(3 * MAX_CONNECTIONS)]
    closed = 0
    for each in opened:
        each.settimeout(0.5)
        try:
            closed += not each.recv(1)
        except TimeoutError:
            pass
        except ConnectionError:
            closed += 1
    assert closed >= 2 * MAX_CONNECTIONS
    for each in opened:
        each.close()
    end = time.monotonic() + 10
    while get_status(bridge) != 200:
        assert time.monotonic() < end, "the server does not answer after the flood"
        time.sleep(0.05)


def get_status(bridge: WebBridge) -> int:
    try:
        return get(bridge, f"/?token={bridge.token}")[0]
    except (ConnectionError, http.client.HTTPException):
        return 0


def test_a_port_in_use_is_one_sentence(bridge: WebBridge) -> None:
    second = WebBridge(PAGE, port=bridge.port)
    with pytest.raises(HeadsplatError, match=r"^cannot serve on 127\.0\.0\.1, port \d+: .*; choose another --port"):
        second.start()
    second.stop()


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "websockets.asyncio.server", None)
    with pytest.raises(HeadsplatError, match=r"a page needs websockets; install it with `pip install websockets`"):
        WebBridge(PAGE)


def test_stopping_ends_streams_and_frees_the_port(bridge: WebBridge) -> None:
    with connect(bridge) as stream:
        bridge.stop()
        with pytest.raises(exceptions.ConnectionClosed):
            stream.recv(timeout=10)
    again = WebBridge(PAGE, port=bridge.port)
    again.start()
    again.stop()
    bridge.publish("nobody")  # of no effect, and no error


def test_every_start_has_another_token() -> None:
    assert len({WebBridge(PAGE).token for _ in range(20)}) == 20
    assert len(WebBridge(PAGE).token) >= 20


def test_a_message_has_the_parameters_of_the_pose(layered: Avatar) -> None:
    params = posed(layered, {"jawOpen": 0.4}, (10, 0, 0))
    found = json.loads(pose_message(layered, AvatarPose(params, "driving")))
    assert found["expression"] == pytest.approx(params.expression[0].tolist(), abs=1e-6)
    assert found["jointRot"] == pytest.approx(params.joint_rot[0].flatten().tolist(), abs=1e-6)
    assert found["translation"] == pytest.approx(params.translation[0].tolist(), abs=1e-6)
    assert found["phase"] == "driving" and "torso" not in found


def test_a_message_has_a_note_on_the_source_where_there_is_one(layered: Avatar) -> None:
    pose = AvatarPose(posed(layered), "waiting")
    assert json.loads(pose_message(layered, pose, "packets arrive"))["note"] == "packets arrive"
    assert "note" not in json.loads(pose_message(layered, pose))


def test_a_measured_torso_is_sent_as_the_renderer_uses_it(layered: Avatar) -> None:
    params, measured = posed(layered), MeasuredTorso(torch.tensor([[0.01, -0.005, 0.05]]), 0.7)
    found = json.loads(pose_message(layered, AvatarPose(params, "driving", torso=measured)))
    torso = layered.rig.torso
    expected = measured.motion(torso, torso.motion(*layered.head.skull_pose(params)))[0]
    assert found["torso"] == pytest.approx(expected.tolist(), abs=1e-6)
    without = measured.motion(torso, torso.motion(*layered.head.skull_pose(params)))
    assert not torch.equal(without, torso.motion(*layered.head.skull_pose(params)))
