"""The microphone of the page, in a browser whose microphone plays a file of vowels and pauses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from avatar.model.avatar import Avatar
from tests.support.browser import Page, chromium, find_chromium
from tests.support.vowels import RATE, vowel
from tests.system.web.test_controls import canvas, click, press
from tests.system.web.test_driving import drop, take
from viewer.web.page import build_page

PAUSE = 1.5  # seconds between vowels, and of each vowel
BUTTON = "document.getElementById('microphone')"
MESSAGE = "document.getElementById('message').textContent"
FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def file(container: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    path = tmp_path_factory.mktemp("page") / "tiny.html"
    path.write_text(build_page(container, "tiny"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def talking(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page in a browser that hears a, i, u and o over and over, a pause before each."""
    folder = tmp_path_factory.mktemp("talking")
    quiet = np.zeros(int(PAUSE * RATE))
    sound = np.concatenate([part for name in "aiuo" for part in (quiet, vowel(name, seconds=PAUSE))])
    wavfile.write(folder / "vowels.wav", RATE, np.round(32767 * np.clip(sound, -1, 1)).astype(np.int16))
    options = (*FAKE, f"--use-file-for-fake-audio-capture={folder / 'vowels.wav'}")
    with chromium(folder / "profile", options=options) as page:
        page.open(file)
        yield page


@pytest.fixture(autouse=True)
def silent(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins and ends with the microphone off."""
    yield
    if "talking" in request.fixturenames:
        page = request.getfixturevalue("talking")
        page.run("app.microphone.stop(); app.playback.leave(); document.activeElement.blur(); app.sliders.set({})")
        page.run("document.getElementById('limited').checked = true; app.resolution.isFixed = false")


def listen(page: Page) -> None:
    click(page, "#microphone")
    page.wait("app.microphone.isListening")


def runs(isopen: np.ndarray, times: np.ndarray) -> list[tuple[bool, float]]:
    """Each whole stretch in which the jaw stays open or closed, and its seconds."""
    changes = np.flatnonzero(np.diff(isopen)) + 1
    return [(bool(isopen[a]), float(times[b] - times[a])) for a, b in pairwise(changes)]


def test_the_jaw_opens_with_vowels_and_closes_in_silence(talking: Page, layered: Avatar) -> None:
    talking.run("document.getElementById('limited').checked = false")
    listen(talking)
    jaw = layered.head.expression_index("jawOpen")
    seconds = 8 * PAUSE + 1
    log = talking.run(
        "new Promise((resolve) => { const rows = [], start = performance.now(); const look = (now) => { "
        f"rows.push([(now - start) / 1000, app.params().expression[{jaw}]]); "
        f"if (now - start > {1000 * seconds}) resolve(rows); else requestAnimationFrame(look); }}; "
        "requestAnimationFrame(look); })"
    )
    times, opened = np.array(log).T
    opened = opened - opened.min()
    found = runs(opened > 0.04, times)
    assert len(found) >= 5, found
    for _, length in found:
        assert length == pytest.approx(PAUSE, abs=PAUSE / 2)  # a busy machine hears late
    assert opened.max() > 0.35  # a
    assert np.quantile(opened, 0.3) < 0.02  # pauses


def test_the_image_moves_with_the_voice(talking: Page) -> None:
    talking.run("app.resolution.scale = 1; app.resolution.isFixed = true")  # images of one size
    closed = canvas(talking)
    listen(talking)
    talking.wait("app.microphone.hearing.weights.jawOpen > 0.4")
    image = "(() => { app.player.redraw(); return app.player.canvas.toDataURL(); })()"
    talking.wait_for(lambda: differs(talking.image(image), closed), "an open mouth")


def differs(image: np.ndarray, other: np.ndarray) -> bool:
    return image.shape == other.shape and bool(np.abs(image.astype(int) - other).max() > 20)


def test_a_slider_keeps_its_part(talking: Page, layered: Avatar) -> None:
    blink = layered.head.expression_index("eyeBlinkLeft")
    talking.run("app.sliders.set({ eyeBlinkLeft: 1, jawOpen: 1 }); document.getElementById('limited').checked = false")
    listen(talking)
    talking.wait("app.microphone.hearing.weights.jawOpen > 0.3")
    expression = talking.run("app.params().expression")
    assert expression[blink] == expression[layered.head.expression_index("jawOpen")] == 1


def test_the_button_says_its_state_and_gives_the_microphone_back(talking: Page) -> None:
    listen(talking)
    assert talking.run(f"{BUTTON}.getAttribute('aria-pressed')") == "true"
    assert talking.run(MESSAGE) == "The mouth follows your voice; the sound stays in this page."
    talking.run("globalThis.track = app.microphone.stream.getAudioTracks()[0]")
    click(talking, "#microphone")
    assert talking.run("[app.microphone.isListening, track.readyState]") == [False, "ended"]
    assert talking.run(f"{BUTTON}.getAttribute('aria-pressed')") == "false"


def test_the_keyboard_switches_it(talking: Page) -> None:
    press(talking, "m")
    talking.wait("app.microphone.isListening")
    press(talking, "m")
    assert not talking.run("app.microphone.isListening")
    talking.run(f"{BUTTON}.focus()")
    press(talking, " ", "Space")
    talking.wait("app.microphone.isListening")


def test_the_button_has_a_name_and_says_what_it_is_not(talking: Page) -> None:
    assert talking.run(f"{BUTTON}.ariaLabel") == "Microphone moves the mouth"
    assert "no speech recognition" in talking.run(f"{BUTTON}.title")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_button_is_readable_in_both_themes(talking: Page, theme: str) -> None:
    talking.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    listen(talking)
    style = f"getComputedStyle({BUTTON})"
    text, ground = (
        [int(part) for part in talking.run(f"{style}.{name}.match(/\\d+/g)")][:3]
        for name in ("color", "backgroundColor")
    )
    assert contrast(text, ground) >= 4.5  # WCAG 2.2, 1.4.3
    talking.call("Emulation.setEmulatedMedia", features=[])


def contrast(one: list[int], other: list[int]) -> float:
    """Contrast ratio of two sRGB colors, as WCAG 2.2 defines it."""
    lights = []
    for color in (one, other):
        linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
        lights.append(float(np.dot(linear, (0.2126, 0.7152, 0.0722))) + 0.05)
    return max(lights) / min(lights)


def test_a_motion_switches_it_off(talking: Page) -> None:
    listen(talking)
    drop(talking, "take.csv", take())
    talking.wait("app.playback.isPlaying && !app.microphone.isListening")


def test_a_microphone_that_is_unplugged_gives_one_sentence(talking: Page) -> None:
    listen(talking)
    talking.run("app.microphone.stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    talking.wait(f"{MESSAGE} === 'The microphone is gone; connect it and try again.'")
    assert not talking.run("app.microphone.isListening")


def test_nothing_leaves_the_page_and_the_policy_holds(talking: Page) -> None:
    listen(talking)
    talking.wait("app.microphone.hearing.weights.jawOpen > 0.3")
    assert talking.addresses() <= {"file", "blob", "data"}
    assert not talking.errors()


def test_a_refused_microphone_gives_one_sentence(file: Path, tmp_path: Path) -> None:
    with chromium(tmp_path, options=(FAKE[0], f"{FAKE[1]}=deny")) as page:
        page.open(file)
        click(page, "#microphone")
        page.wait(MESSAGE)
        said = page.run(MESSAGE)
        assert said == "The browser refuses the microphone to this page; allow it in the settings of the site."
        assert page.run(f"[app.microphone.isListening, {BUTTON}.getAttribute('aria-pressed')]") == [False, "false"]
        assert not page.errors()
