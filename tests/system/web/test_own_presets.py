"""Own presets on the page: those of the avatar show the pose of the window, and the page saves its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.export.web import web_container
from avatar.model.avatar import Avatar
from avatar.motion.presets import FacePreset, read_presets
from tests.support.browser import Page, chromium, find_chromium
from tests.system.web.conftest import HEADER
from tests.system.web.test_controls import canvas, click, press, settle
from viewer.session.own_presets import sliders_of
from viewer.session.pose_sources import SliderPoseSource
from viewer.session.state import Sliders
from viewer.web.page import build_page

GRIN = FacePreset("grin", {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "jawOpen": 0.4, "eyelidLeft": 0.2}, key=1)
TURNED = FacePreset("<img src=x>", {"eyeLookOutLeft": 0.5}, (20.0, -5.0, 4.0), (8.0, 2.0), 3, "a photo", "agreed")
MESSAGE = "document.getElementById('message').textContent"
NAMES = "[...document.querySelectorAll('#own .presets button')].map((button) => button.textContent)"


@pytest.fixture(scope="module")
def file(layered: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "tiny.html"
    container = web_container(layered, HEADER, "tiny", presets=(GRIN, TURNED))
    path.write_text(build_page(container, "tiny"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(browser: Page, file: Path) -> Page:
    """The page as it is when it is opened, but for what the browser keeps."""
    browser.open(file)
    browser.run("document.getElementById('limited').checked = false; app.changed()")
    settle(browser)
    return browser


def typed(page: Page, name: str) -> None:
    page.run(
        f"(() => {{ const i = document.querySelector('#own input'); i.value = {json.dumps(name)}; "
        "i.dispatchEvent(new Event('input')); })()"
    )


def wait_for_pose(page: Page) -> None:
    page.wait("app.easing === null")
    settle(page)


def assert_shows(page: Page, layered: Avatar, preset: FacePreset) -> None:
    """The pose of the page is that of the window for a preset."""
    source = SliderPoseSource(layered)
    sliders, note = sliders_of(preset, Sliders(), layered.head.expression_names)
    assert not note
    expected = source.params(sliders)
    found = page.run("app.params()")
    np.testing.assert_allclose(found["expression"], expected.expression[0].numpy(), atol=2e-3)
    np.testing.assert_allclose(np.reshape(found["jointRot"], (5, 3))[2:], expected.joint_rot[0, 2:].numpy(), atol=2e-3)


@pytest.mark.parametrize(("preset", "key"), [(GRIN, "1"), (TURNED, "3")])
def test_a_button_and_a_key_show_the_pose_of_the_window(
    opened: Page, layered: Avatar, preset: FacePreset, key: str
) -> None:
    assert opened.run(NAMES) == ["1: grin", "3: <img src=x>"]
    before = canvas(opened)
    click(opened, f"#own .presets button:nth-child({1 if preset is GRIN else 2})")
    wait_for_pose(opened)
    by_button = canvas(opened)
    assert np.abs(by_button.astype(int) - before).max() > 20
    assert_shows(opened, layered, preset)
    press(opened, "n")
    opened.run("document.activeElement.blur()")
    press(opened, key)
    wait_for_pose(opened)
    assert_shows(opened, layered, preset)
    np.testing.assert_array_equal(canvas(opened), by_button)
    assert opened.run("app.turn") == list(preset.head)


def test_the_face_moves_to_a_preset_smoothly(opened: Page) -> None:
    jaw = opened.run("app.player.header.head.expression_names.indexOf('jawOpen')")
    script = f"""(() => {{ app.presets.press('1'); const seen = [];
        for (const part of [0, 0.5, 1]) {{
          app.easing.since = performance.now() - 200 * part;
          seen.push(app.params().expression[{jaw}]);
        }} return seen; }})()"""
    start, half, end = opened.run(script)
    assert half == pytest.approx((start + end) / 2, abs=0.02) and end - start > 0.2
    wait_for_pose(opened)


def test_the_page_keeps_a_face_and_saves_a_file_that_the_engine_reads(
    opened: Page, layered: Avatar, tmp_path: Path
) -> None:
    opened.run(
        "app.sliders.set({ jawOpen: 0.5, mouthSmileLeft: 0.3 }); app.headSliders[0](0.5); app.headSliders[2](12)"
    )
    typed(opened, "my face")
    click(opened, "#own .line button")
    assert opened.run(MESSAGE) == "my face saved, key 2."
    posed = opened.run("app.params().expression")
    opened.run("location.reload(); 0")
    time.sleep(0.5)
    opened.wait("document.querySelectorAll('#own .presets button').length === 3")
    opened.run("globalThis.headsplat.then((app) => { globalThis.app = app; })")
    opened.wait("globalThis.app?.player")
    opened.run("document.getElementById('limited').checked = false")
    press(opened, "2")
    wait_for_pose(opened)
    np.testing.assert_allclose(opened.run("app.params().expression"), posed, atol=1e-3)
    opened.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(opened, "#own .line button:nth-child(4)")
    path = tmp_path / "tiny.presets.json"
    opened.wait_for(path.exists, "a file of presets")
    grin, turned, own = read_presets(path)
    assert (grin, turned) == (GRIN, TURNED)
    assert (own.name, own.key, own.head) == ("my face", 2, (12.0, 0.0, 0.0))
    assert_shows(opened, layered, own)
    typed(opened, "MY face")
    click(opened, "#own .line button:nth-child(3)")
    assert opened.run(NAMES) == ["1: grin", "3: <img src=x>"]


def test_a_name_that_is_none_and_one_of_the_avatar_are_refused(opened: Page) -> None:
    for name, message in (
        ("a/b", "Give the face a name of up to 40 characters, without slashes."),
        ("GRIN", "grin was exported with the avatar; choose another name."),
    ):
        typed(opened, name)
        click(opened, "#own .line button")
        assert opened.run(MESSAGE) == message
    assert len(opened.run(NAMES)) == 2


def test_what_the_browser_keeps_is_not_trusted(browser: Page, file: Path) -> None:
    browser.open(file)
    for kept in ("{", "3", '[{"name": 1}, null, {"name": "x", "weights": {"jawOpen": "y"}, "sliders": {}}]'):
        browser.run(f"localStorage.setItem(app.presets.place, {json.dumps(kept)})")
        browser.open(file)
        assert browser.run(NAMES) == ["1: grin", "3: <img src=x>"]
        assert not browser.errors()
    browser.run("localStorage.clear()")


def test_an_agent_of_the_server_shows_an_own_preset(layered: Avatar) -> None:
    pytest.importorskip("websockets.sync.client", reason="needs websockets (pip install websockets)")
    from avatar.performance.speech.client import SpeechClient
    from avatar.performance.speech.stream import SpeechStream
    from tests.system.web.test_speech_server import Watcher, speak
    from viewer.web.speech_server import SpeechServer

    server = SpeechServer("<!doctype html>", layered, SpeechStream(acting=0.0, presets=(GRIN,)), port=0)
    server.start()
    watcher = Watcher(server)
    try:
        smile = layered.head.expression_names.index("mouthSmileLeft")
        watcher.more(2)
        before = watcher.poses[-1, smile]

        async def talk(voice: SpeechClient) -> None:
            await voice.emotion("Grin", 1.0, 0.1)

        speak(server, talk)
        watcher.wait(lambda each: bool(each.poses[-1, smile] > before + 0.4))
    finally:
        watcher.close()
        server.stop()
