"""The web app of examples/gradio_app.py in a browser: a video, an avatar, renderings along a motion and a voice."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avatar import resample, write_motion
from avatar.jobs.showcase import puppet_motion
from capture.synthetic.video import DEMO_CLIP
from tests.support.browser import Page
from tests.support.sounds import write_wav

pytest.importorskip("gradio", reason="needs Gradio (pip install 'headsplat[gradio]')")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
LIMIT = 300.0  # seconds of a training and of a rendering


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the app, which leaves nothing behind."""
    folder = tmp_path_factory.mktemp("app")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "examples" / "gradio_app.py"), "--port", str(port), "--seconds", "5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        Page.wait_for(lambda: "Running on local URL" in log.read_text(), "the address")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert "public link" not in log.read_text().replace("To create a public link, set `share=True`", "")
    assert "Traceback" not in log.read_text()
    assert [path.name for path in folder.iterdir() if path.name.startswith("headsplat-app-")] == []


def upload(page: Page, place: str, path: Path) -> None:
    """Give a file to an input of the page."""
    page.wait(f"document.querySelector({place!r})")
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector=place)["nodeId"]
    page.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)


def press(page: Page, name: str) -> None:
    """Press a button of the page."""
    page.run(f"[...document.querySelectorAll('button')].find((each) => each.textContent.trim() === {name!r}).click()")


def rendered(page: Page, before: str = "") -> tuple[str, int, bool]:
    """The address of the rendering that is not `before`, its number of frames, and whether it has sound."""
    source = "(document.querySelector('#film video')?.src ?? '')"
    page.wait_for(lambda: page.run(f"{source}") not in ("", before), "the rendering", LIMIT)
    address = page.run(source)
    read = "fetch({!r}).then((r) => r.bytes()).then((b) => b.toBase64())"
    with av.open(io.BytesIO(base64.b64decode(page.run(read.format(address))))) as video:
        return address, sum(1 for _ in video.decode(video=0)), bool(video.streams.audio)


def test_a_video_becomes_an_avatar_that_moves_and_is_rendered(page: Page, app: str, tmp_path: Path) -> None:
    page.events.clear()
    page.call("Page.navigate", url=app)
    page.wait("document.querySelector('#agreed input') && document.querySelector('#video input[type=file]')")
    assert "train only on someone who has agreed" in page.run("document.body.innerText")
    # without a tick or a video nothing is trained
    button = "[...document.querySelectorAll('button')].find((each) => each.textContent.trim() === 'Train')"
    page.wait(f"{button}?.disabled")
    page.run("document.querySelector('#agreed input').click()")
    page.wait(f"!{button}.disabled")
    press(page, "Train")
    page.wait("document.body.innerText.includes('a video is needed, and the tick that its person has agreed')")
    press(page, "Render")
    page.wait("document.body.innerText.includes('there is no avatar yet; train one first')")
    # the avatar is shown and can be posed
    upload(page, "#video input[type=file]", DEMO_CLIP)
    page.wait("document.querySelector('#video video')")
    press(page, "Train")
    page.wait_for(lambda: page.run("Boolean(document.querySelector('iframe[srcdoc]'))"), "an avatar", LIMIT)
    page.run("(globalThis.inner = document.querySelector('iframe[srcdoc]').contentWindow, null)")
    page.wait("inner.headsplat")
    page.run("inner.headsplat.then((app) => { globalThis.avatar = app; }).then(() => null)")
    page.wait("avatar.player.frame")
    page.run("avatar.sliders.set({ jawOpen: 0.6 })")
    page.wait("!avatar.isChanged && !avatar.player.isBusy")
    assert page.image("(avatar.player.redraw(), avatar.player.canvas.toDataURL())").std() > 10
    assert re.search(r"\d+ Gaussians from", page.run("document.querySelector('#report textarea').value"))
    # a motion, then a voice
    motion = resample(puppet_motion(), 10)
    write_motion(tmp_path / "take.csv", motion)
    upload(page, "#motion input[type=file]", tmp_path / "take.csv")
    page.wait("document.querySelector('#motion').innerText.includes('take')")
    press(page, "Render")
    first, frames, has_sound = rendered(page)
    assert frames == len(motion) and not has_sound
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    upload(page, "#voice input[type=file]", write_wav(tmp_path / "voice.wav", noise, 16_000))
    page.wait("document.querySelector('#voice audio, #voice #waveform')")
    press(page, "Render")
    page.wait("document.body.innerText.includes('a motion or a voice moves the avatar, one of them')")
    page.run("document.querySelector('#motion button[aria-label=\"Clear\"]').click()")
    page.wait("!document.querySelector('#motion').innerText.includes('take')")
    press(page, "Render")
    _, frames, has_sound = rendered(page, first)
    assert frames >= 30 and has_sound
    (tmp_path / "app.png").write_bytes(
        base64.b64decode(page.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
    )
    requests = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert {url.split(":")[0] for url in requests if not url.startswith(app)} <= {"data", "blob", "about"}
