"""The page of a live source for programs that mix pictures: the avatar alone, on nothing, at an address that stays."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.driving.live.samples import AvatarPose
from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from tests.support.browser import Page
from viewer.web.bridge import WebBridge
from viewer.web.live_pose import pose_message
from viewer.web.page import build_page
from viewer.web.server import stored_token

pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")


@pytest.fixture
def bridge(container: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebBridge]:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    found = WebBridge(build_page(container, "tiny", live=True), port=0)
    found.show_alone()
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_only_the_avatar_is_drawn(page: Page, bridge: WebBridge, layered: Avatar) -> None:
    page.visit(bridge.address)
    page.wait("app.live")
    bridge.publish(pose_message(layered, AvatarPose(posed(layered, {"jawOpen": 0.5}), "driving")))
    page.wait("app.live.pose && !app.isChanged && !app.player.isBusy")
    for name in ("panel", "message", "bar"):
        assert page.run(f"getComputedStyle(document.getElementById('{name}')).display") == "none"
    page.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
    try:
        shot = page.call("Page.captureScreenshot", format="png")["data"]
    finally:
        page.call("Emulation.setDefaultBackgroundColorOverride")
    image = cv2.imdecode(np.frombuffer(base64.b64decode(shot), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape[2] == 4
    assert not image[:8, :8, 3].any()
    assert not image[:8, -8:, 3].any()
    assert image[..., 3].max() > 200


def test_the_address_stays_from_run_to_run_and_is_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    bridges = [WebBridge("") for _ in range(2)]
    for bridge in bridges:
        bridge.show_alone()
    assert bridges[0].address == bridges[1].address
    assert bridges[0].address.endswith(f"/?token={stored_token()}&alone")
    assert WebBridge("").token != stored_token()
    assert (tmp_path / "page").stat().st_mode & 0o077 == 0
    for content in ("", "short"):
        next(tmp_path.rglob("token.txt")).write_text(content)
        assert len(stored_token()) >= 16
