"""States of the page of an avatar, each opened in a browser as a user sees it; see `page_screenshots`.

A state is a function with `@state(...)`: it brings the page into the state, and the picture is taken after it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from scipy.io import wavfile

from avatar.cli import main as headsplat
from avatar.driving.live.samples import AvatarPose
from avatar.export.posed import posed
from avatar.model.avatar_file import load_avatar
from tests.support.browser import Page
from tests.support.three_js import EXAMPLE, install_three
from tests.support.vowels import RATE, vowel
from tests.support.web_site import serve, visit
from viewer.web.package import write_package

SMILE = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}
PHONE = (390, 720)
CHECK = 24  # pixels of a side
#: The camera shows a face at rest for so many seconds, which is measured and calibrated, and then another face.
REST_SECONDS = 10


class Unavailable(Exception):
    """A state cannot be shown on this machine; the message says why."""


@dataclass
class Studio:
    """The browser and the files that states show.

    Attributes:
        page: of the browser, which has a microphone with a sound from `write_sound` and a camera.
        folder: for files.
        avatar, other: .avatar files of two people.
        motion: an expression file.
        open_servers: closes what a state has started.
    """

    page: Page
    folder: Path
    avatar: Path
    other: Path
    motion: Path
    open_servers: ExitStack

    @cached_property
    def plain(self) -> Path:
        """The page of the avatar."""
        return self.export("me.html")

    def export(self, name: str, *options: str, avatar: Path | None = None) -> Path:
        """A file that `headsplat export` writes."""
        path = self.folder / name
        assert headsplat(["export", str(avatar or self.avatar), "-o", str(path), "--overwrite", *options]) == 0
        return path

    def settle(self) -> None:
        """Wait until the page shows what was requested."""
        self.page.wait("!app || (!app.player.isBusy && !app.isChanged)")

    def click(self, selector: str) -> None:
        """Click on an element, as a user does: some functions of a browser need that."""
        center = self.page.run(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.page.call("Input.dispatchMouseEvent", type=kind, x=center[0], y=center[1], button="left", clickCount=1)

    def picture(self) -> np.ndarray:
        """BGR [H,W,3] of the page; over checks where it is transparent."""
        data = self.page.call("Page.captureScreenshot", format="png")["data"]
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        if image.shape[2] == 3:
            return image
        y, x = np.indices(image.shape[:2]) // CHECK
        alpha = image[..., 3:] / 255
        checks = np.where((x + y) % 2, 150, 105)[..., None]
        return np.round(alpha * image[..., :3] + (1 - alpha) * checks).astype(np.uint8)


@dataclass(frozen=True)
class State:
    """How a state is shown.

    Attributes:
        enter: brings the page into it.
        caption: under its part of a sheet.
        size: of the page, pixels.
        theme: "light" or "dark", as the system has it.
    """

    enter: Callable[[Studio], None]
    caption: str
    size: tuple[int, int]
    theme: str

    def taken(self, studio: Studio) -> np.ndarray:
        """BGR [H,W,3] of the page in this state.

        Raises:
            Unavailable: not on this machine.
        """
        width, height = self.size
        page = studio.page
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=self.size == PHONE,
        )  # fmt: skip
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": self.theme}])
        with ExitStack() as studio.open_servers:
            self.enter(studio)
            image = studio.picture()
            page.call("Page.navigate", url="about:blank")
        return image


STATES: dict[str, State] = {}


def state(
    caption: str, size: tuple[int, int] = (900, 580), theme: str = "light"
) -> Callable[[Callable[[Studio], None]], Callable[[Studio], None]]:
    """Register a function as the state of its name."""

    def register(enter: Callable[[Studio], None]) -> Callable[[Studio], None]:
        STATES[enter.__name__] = State(enter, caption, size, theme)
        return enter

    return register


def write_sound(path: Path) -> None:
    """What the microphone hears: an open vowel that does not end soon."""
    sound = np.concatenate([vowel("a", seconds=1.5), np.zeros(RATE // 4)])
    wavfile.write(path, RATE, np.round(32767 * np.clip(sound, -1, 1)).astype(np.int16))


def _set(studio: Studio, weights: Mapping[str, float]) -> None:
    studio.page.run(f"app.sliders.set({json.dumps(weights)})")
    studio.settle()


@state("at rest")
def rest(studio: Studio) -> None:
    """As it opens."""
    studio.page.open(studio.plain)


@state("sliders moved, expressions searched")
def sliders(studio: Studio) -> None:
    """The search shows what belongs to the mouth's corners, and two of the head's sliders are moved, too."""
    page = studio.page
    page.open(studio.plain)
    _set(studio, {**SMILE, "mouthSmileLeft": 0.9, "browOuterUpLeft": 0.8, "jawOpen": 0.15})
    moved = {"Turn head": -8, "Tilt": 4}
    page.run(
        f"(() => {{ const moved = {json.dumps(moved)}; "
        "for (const row of document.querySelectorAll('#head .slider')) { const input = row.querySelector('input'); "
        "const value = moved[row.querySelector('span').textContent]; if (value === undefined) continue; "
        "input.value = value; input.dispatchEvent(new Event('input')); } "
        "const search = document.getElementById('search'); search.focus(); search.value = 'smile'; "
        "search.dispatchEvent(new Event('input')); search.scrollIntoView({ block: 'center' }); })()"
    )
    studio.settle()


@state("a motion plays")
def motion(studio: Studio) -> None:
    """The packed motion, two seconds from its start."""
    studio.page.open(studio.export("played.html", "--motion", str(studio.motion)))
    studio.page.run("app.resolution.scale = 1; app.resolution.isFixed = true; app.playback.time = 1.2")
    studio.page.wait("app.playback.time > 2.05")


@state("dark theme", theme="dark")
def dark(studio: Studio) -> None:
    """The theme of the system; the background follows it."""
    studio.page.open(studio.plain)
    _set(studio, SMILE)


@state("background transparent", (760, 440))
def transparent(studio: Studio) -> None:
    """A pattern shows where the picture would be transparent."""
    studio.page.open(studio.plain)
    studio.click("#transparent")
    studio.settle()


@state("microphone on", (760, 440))
def microphone(studio: Studio) -> None:
    """The mouth is open, as the voice is."""
    studio.page.open(studio.plain)
    studio.page.run("app.resolution.isFixed = true")
    studio.click("#microphone")
    studio.page.wait("app.microphone.isListening && app.microphone.hearing?.weights.jawOpen > 0.4")
    for _ in range(2):  # the frame that is being computed, and the next one
        studio.page.run("globalThis.since = performance.now()")
        studio.page.wait("app.frames.at(-1) > since")


@state("recording a video", (760, 440))
def recording(studio: Studio) -> None:
    """Until the button is pressed again."""
    studio.page.open(studio.plain)
    _set(studio, SMILE)
    studio.click("#video")
    studio.page.wait("app.recorder")


@state("a damaged avatar", (760, 440))
def error(studio: Studio) -> None:
    """One sentence in place of the avatar."""
    text = studio.plain.read_text(encoding="utf-8")
    start = text.index('id="container"')
    middle = start + (text.index("</script>", start) - start) // 2 // 4 * 4
    cut = studio.folder / "damaged.html"
    cut.write_text(text[:middle] + text[text.index("</script>", start) :], encoding="utf-8")
    studio.page.open(cut)


@state("live: a camera drives the page")
def live(studio: Studio) -> None:
    """The page of `headsplat live --web`, which gets a pose of our own in place of that of a camera."""
    _show_live(studio)
    studio.page.wait("document.getElementById('live-state').textContent === 'live'")
    studio.settle()


@state("alone, for programs that mix pictures", (1280, 720))
def alone(studio: Studio) -> None:
    """The page of `headsplat live --web --obs`, with nothing behind it."""
    clear = studio.page.call
    clear("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
    studio.open_servers.callback(clear, "Emulation.setDefaultBackgroundColorOverride")
    _show_live(studio, "&alone")
    studio.page.wait("app.live.pose")
    studio.settle()


def _show_live(studio: Studio, query: str = "") -> None:
    """Open the page of a live source whose pose is our own."""
    from avatar.export.web import web_container
    from avatar.model.avatar_file import read_avatar
    from viewer.web.bridge import WebBridge
    from viewer.web.live_pose import pose_message
    from viewer.web.page import build_page

    header, avatar = read_avatar(studio.avatar)
    bridge = WebBridge(build_page(web_container(avatar, header, "me"), "me", live=True), port=0)
    bridge.start()
    studio.open_servers.callback(bridge.stop)
    studio.page.visit(bridge.address + query)
    weights = {**SMILE, "jawOpen": 0.35, "browInnerUp": 0.5}
    bridge.publish(pose_message(avatar, AvatarPose(posed(load_avatar(studio.avatar), weights, (10, 4, 3)), "driving")))


@state("camera on")
def camera(studio: Studio) -> None:
    """A face of the synthetic person, which is the camera, moves the avatar."""
    try:
        page = studio.export("camera.html", "--with-camera")
    except AssertionError as error:
        raise Unavailable("MediaPipe's models or library cannot be fetched") from error
    studio.page.open(page)
    studio.page.run("app.resolution.isFixed = true")
    studio.click("#camera")
    studio.page.wait("app.camera.calibration?.isDone")
    studio.page.run(f"new Promise((resolve) => setTimeout(resolve, {1000 * REST_SECONDS}))")
    studio.page.run("document.getElementById('gains').open = true")


@state("on a phone", PHONE)
def phone(studio: Studio) -> None:
    """As it opens."""
    studio.page.open(studio.plain)


@state("sliders on a phone", PHONE)
def phone_sliders(studio: Studio) -> None:
    """The panel is scrolled to the sliders of the mouth."""
    studio.page.open(studio.plain)
    _set(studio, {**SMILE, "jawOpen": 0.2, "eyeBlinkRight": 0.95})
    studio.page.run(
        "(() => { const row = document.querySelector('[data-expression=mouthSmileLeft]'); "
        "row.closest('details').open = true; row.scrollIntoView({ block: 'center' }); })()"
    )


@state("dark theme on a phone", PHONE, "dark")
def phone_dark(studio: Studio) -> None:
    """The theme of the system."""
    studio.page.open(studio.plain)
    _set(studio, {"browInnerUp": 0.9, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8, "jawOpen": 0.4})


def _site(studio: Studio, example: Path) -> str:
    """The address of a served example, with the files that it needs."""
    folder = studio.folder / "site"
    write_package(folder)
    (folder / example.name).write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    for name, avatar in {"left": studio.avatar, "right": studio.other, "me": studio.avatar}.items():
        studio.export(f"site/{name}.hsa", avatar=avatar)
    return f"{studio.open_servers.enter_context(serve(folder))}/{example.name}"


@state("two avatars on a page", (900, 420))
def two_avatars(studio: Studio) -> None:
    """The example of the element."""
    visit(studio.page, _site(studio, EXAMPLE.with_name("two_avatars.html")))
    studio.page.wait("['left', 'right'].every((id) => document.getElementById(id).player?.frame)")
    studio.page.wait("document.getElementById('left').pose.weights.get('jawOpen') > 0.35")


@state("an avatar in a scene of three.js", (900, 520))
def three_scene(studio: Studio) -> None:
    """The example, one object in front of the face and one behind it."""
    address = _site(studio, EXAMPLE)
    if reason := install_three(studio.folder / "site"):
        raise Unavailable(reason)
    visit(studio.page, address)
    studio.page.wait("globalThis.example && example.avatar.player?.frame?.camera.scene")
    studio.page.run("document.getElementById('moving').checked = false; document.getElementById('turn').value = 12")
    studio.page.run(
        "example.front.position.x = 0.1; example.behind.position.x = 0.03; example.behind.rotation.y = 0.3; "
        "new Promise((resolve) => { let count = 0; "
        "example.avatar.addEventListener('frame', () => ++count === 3 && resolve(0)); })"
    )
