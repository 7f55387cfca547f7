"""`headsplat film --web` in a browser whose camera shows a drawn person."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from capture.synthetic.video import DEMO_CLIP
from capture.video.decoding import open_video
from tests.capture.conftest import face_models  # noqa: F401  (a fixture)
from tests.support.browser import Page, chromium, find_chromium
from tests.support.fake_camera import camera_options, write_y4m
from tests.support.page_command import page_command

pytestmark = pytest.mark.slow
pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")
#: Of the page's images; the browser's renderer of a machine without a GPU is much slower.
OPTIONS = ("--disable-gpu",)
TINY = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
WORDS = "document.getElementById('words').textContent"
Film = tuple[subprocess.Popen[str], str]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video that is the camera."""
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    path = tmp_path_factory.mktemp("clip") / "person.y4m"
    video = open_video(DEMO_CLIP)
    write_y4m(path, (frame.rgb[:480, :480] for frame in video), video.fps)
    return path


@pytest.fixture
def start(tmp_path: Path, face_models: None) -> Iterator[Callable[..., Film]]:  # noqa: F811
    """Starts the command; the process and the address of its page."""
    (tmp_path / "tiny.toml").write_text(TINY)
    command = ["film", "-o", "me.avatar", "--web", "--port", "0", "--config", "tiny.toml", "--no-preview"]
    with ExitStack() as processes:
        yield lambda *words: processes.enter_context(page_command(tmp_path, *command, *words))


def load(page: Page, address: str) -> None:
    page.events.clear()
    page.call("Page.navigate", url=address)
    page.wait("typeof film === 'object' && film.view")


def press(page: Page, name: str) -> None:
    """Press a button of the page by its text."""
    page.run(f"[...document.querySelectorAll('button')].find((each) => each.textContent.endsWith({name!r})).click()")


def test_a_person_films_pauses_and_quits(clip: Path, start: Callable[..., Film], tmp_path: Path) -> None:
    process, address = start()
    with chromium(tmp_path / "profile", (1000, 700), (*camera_options(clip), *OPTIONS)) as page:
        load(page, address)
        assert page.run("document.body.textContent").count("Film only someone who has agreed to it") == 1
        press(page, "Start the camera")
        page.wait(f"{WORDS}.startsWith('Look at the camera')")
        assert page.run("getComputedStyle(film.video).transform") == "matrix(-1, 0, 0, 1, 0, 0)"
        assert not page.run("document.getElementById('mark').hidden")
        page.wait("document.querySelectorAll('#items .done').length > 1 && document.querySelector('#ring circle')")
        press(page, "pause")
        page.wait("document.getElementById('mark').hidden && film.stream")
        page.run("dispatchEvent(new KeyboardEvent('keydown', { key: ' ' }))")
        page.wait("!document.getElementById('mark').hidden")
        assert page.addresses() <= {"http", "blob"} and not page.errors()
        load(page, address)  # the recording waits, and goes on
        assert page.run("document.querySelectorAll('#items .done').length > 1 && !film.stream")
        seconds = "film.view.note.match(/(\\d+) s/)[1]"
        before = int(page.run(seconds))
        press(page, "Start the camera")
        page.wait(f"!document.getElementById('mark').hidden && {seconds} > {before + 1}")
        press(page, "quit")
        page.wait(f"{WORDS} === 'The recording was quit' && !film.stream")
    assert process.wait(60) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.toml", "profile"}


def test_a_camera_that_is_refused_has_a_sentence_and_can_be_tried_again(
    clip: Path, start: Callable[..., Film], tmp_path: Path
) -> None:
    process, address = start()
    problem = "document.getElementById('problem').textContent"
    options = [option for option in camera_options(clip) if "fake-ui" not in option]
    with chromium(tmp_path / "profile", (1000, 700), (*options, *OPTIONS)) as page:
        load(page, address)
        page.call("Browser.setPermission", permission={"name": "camera"}, setting="denied")
        press(page, "Start the camera")
        page.wait(f"{problem}.startsWith('The browser refuses the camera to this page')")
        page.call("Browser.setPermission", permission={"name": "camera"}, setting="granted")
        press(page, "Try again")
        page.wait(f"{WORDS}.startsWith('Look at the camera')")
        process.send_signal(signal.SIGINT)
        page.wait(f"{WORDS} === 'The recording was quit'")
    assert process.wait(60) == 130


def test_a_second_page_has_a_sentence_and_a_server_that_is_killed_another(
    clip: Path, start: Callable[..., Film], tmp_path: Path
) -> None:
    process, address = start()
    with chromium(tmp_path / "profile", (1000, 700), (*camera_options(clip), *OPTIONS)) as page:
        load(page, address)
        page.run("void (globalThis.other = new film.constructor())")
        page.wait("other.view?.words.startsWith('Another page films already')")
        process.kill()
        page.wait("film.view.words === 'headsplat does not run any more; its terminal says why.'")
