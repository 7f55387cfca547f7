"""The page that `headsplat live --web` serves, in a browser: it follows the source, and the sliders when it is left."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.driving.live.samples import AvatarPose
from avatar.export.posed import posed
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from tests.support import face_sender
from tests.support.browser import TIMEOUT, Page
from tests.support.page_command import page_command
from tests.system.web.test_driving import assert_params
from viewer.web.bridge import WebBridge
from viewer.web.live_pose import pose_message
from viewer.web.page import build_page

pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")


@pytest.fixture(scope="module")
def bridge(container: bytes) -> Iterator[WebBridge]:
    found = WebBridge(build_page(container, "tiny", live=True), port=0)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def live(page: Page, bridge: WebBridge) -> Page:
    """The served page, loaded."""
    page.visit(bridge.address)
    return page


def publish(bridge: WebBridge, avatar: Avatar, weights: dict[str, float], phase: str = "driving") -> AvatarPose:
    pose = AvatarPose(posed(avatar, weights, (10, 0, 0)), phase)
    bridge.publish(pose_message(avatar, pose))
    return pose


def test_the_page_follows_the_source(live: Page, bridge: WebBridge, layered: Avatar) -> None:
    first = publish(bridge, layered, {"jawOpen": 0.5}, "calibrating")
    live.wait("app.live.pose")
    assert_params(live.run("app.params()"), first.params)
    assert live.run("document.getElementById('live-state').textContent") == "calibrating: look ahead and relax"
    second = publish(bridge, layered, {"mouthSmileLeft": 0.8})
    live.wait("document.getElementById('live-state').textContent === 'live'")
    assert_params(live.run("app.params()"), second.params)
    live.wait("!app.isChanged && !app.player.isBusy")
    smiling = live.image("(() => { app.player.redraw(); return app.player.canvas.toDataURL(); })()")
    publish(bridge, layered, {"jawOpen": 1.0})
    live.wait("app.live.pose.expression.some((value, e) => value > 0.9)")
    live.wait("!app.isChanged && !app.player.isBusy")
    opened = live.image("(() => { app.player.redraw(); return app.player.canvas.toDataURL(); })()")
    assert np.abs(opened.astype(int) - smiling).max() > 20


def test_a_slider_takes_over_until_the_source_is_followed_again(live: Page, bridge: WebBridge, layered: Avatar) -> None:
    pose = publish(bridge, layered, {"jawOpen": 0.3})
    live.wait("app.live.pose")
    live.run("app.sliders.set({ eyeBlinkLeft: 1 })")
    assert not live.run("document.getElementById('follow').checked")
    blink = layered.head.expression_index("eyeBlinkLeft")
    assert live.run("app.params()")["expression"][blink] > 0.5
    live.run("document.getElementById('follow').click()")
    assert_params(live.run("app.params()"), pose.params)


def test_c_and_the_button_request_a_calibration(live: Page, bridge: WebBridge) -> None:
    live.run("document.getElementById('calibrate').click()")
    live.wait_for(bridge.take_calibration, "a calibration")
    for kind in ("keyDown", "keyUp"):
        live.call("Input.dispatchKeyEvent", type=kind, key="c", text="c")
    live.wait_for(bridge.take_calibration, "a calibration")


def test_the_page_talks_to_its_server_only(live: Page) -> None:
    assert live.run("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"
    assert live.addresses() <= {"http", "blob", "data"}
    policy = live.run("document.querySelector('meta[http-equiv]').content")
    assert "connect-src 'self';" in policy and "unsafe" not in policy


def test_poses_of_another_avatar_are_not_shown(live: Page, bridge: WebBridge, layered: Avatar) -> None:
    pose = publish(bridge, layered, {"jawOpen": 0.25})
    live.wait(f"Math.abs(Math.max(...app.live.pose.expression) - {float(pose.params.expression.max())}) < 1e-5")
    bridge.publish('{"expression":[1],"jointRot":[],"translation":[]}')
    live.wait("document.getElementById('live-state').textContent.startsWith('the server sends poses of another')")
    assert_params(live.run("app.params()"), pose.params)


def test_a_note_on_the_source_is_shown_in_place_of_its_state(live: Page, bridge: WebBridge, layered: Avatar) -> None:
    pose = AvatarPose(posed(layered), "waiting")
    bridge.publish(pose_message(layered, pose, "packets arrive that cannot be <b>read</b>"))
    live.wait("document.getElementById('live-state').textContent === 'packets arrive that cannot be <b>read</b>'")
    bridge.publish(pose_message(layered, pose))
    live.wait("document.getElementById('live-state').textContent === 'waiting for a face'")


def test_the_page_connects_again_after_an_interruption(live: Page, bridge: WebBridge, layered: Avatar) -> None:
    live.run("app.live.socket.close()")
    live.wait("document.getElementById('live-state').textContent.startsWith('disconnected')")
    pose = publish(bridge, layered, {"jawOpen": 0.75})
    live.wait("document.getElementById('live-state').textContent === 'live'")
    assert_params(live.run("app.params()"), pose.params)


def test_a_page_from_a_file_has_no_live_source(shown: Page) -> None:
    assert shown.run("app.live === undefined && document.getElementById('live').hidden")
    policy = shown.run("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none';") and "connect-src" not in policy


@pytest.fixture
def listening() -> int:
    """A free UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def command(layered: Avatar, tmp_path: Path, listening: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`headsplat live --web` with an app as the source, and the address of its page."""
    save_avatar(tmp_path / "tiny.avatar", layered)
    words = ["live", "tiny.avatar", "--web", "--port", "0", "--listen", f"livelink:{listening}", "--json", "run.json"]
    with page_command(tmp_path, *words) as started:
        yield started


def open_jaw(weight: float, seconds: float) -> face_sender.MotionFile:
    """A frame of an app, `seconds` after its start."""
    weights = np.zeros((1, len(ARKIT_52)))
    weights[0, ARKIT_52.index("jawOpen")] = weight
    return face_sender.MotionFile(list(ARKIT_52), np.array([seconds]), weights, np.zeros((1, 5, 3)), np.zeros((1, 3)))


def test_an_app_drives_the_page_through_the_command(
    page: Page, layered: Avatar, command: tuple[subprocess.Popen[str], str], listening: int, tmp_path: Path
) -> None:
    process, url = command
    page.visit(url)
    address, start = ("127.0.0.1", listening), time.monotonic()
    jaw = layered.head.expression_index("jawOpen")
    opening = f"(app.live.pose?.expression[{jaw}] ?? -1)"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as app:

        def send_until(weight: float, condition: str) -> None:
            """Send the face of an app at 60 packets per second until the page shows it."""
            end = time.monotonic() + TIMEOUT
            while not page.run(f"Boolean({condition})"):
                assert time.monotonic() < end, condition
                for _ in range(6):
                    app.sendto(face_sender.live_link(open_jaw(weight, time.monotonic() - start), 0), address)
                    time.sleep(1 / 60)

        send_until(0.0, f"document.getElementById('live-state').textContent === 'live' && {opening} < 0.1")
        send_until(0.9, f"{opening} > 0.3")
    page.wait("document.getElementById('live-state').textContent === 'no face is seen'")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["streams"] >= 1 and report["samples"] > 10 and report["refused"] == 0
    page.wait("document.getElementById('live-state').textContent.startsWith('disconnected')")
