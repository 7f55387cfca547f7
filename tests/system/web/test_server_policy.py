"""Pages from web servers that restrict them by the header Content-Security-Policy: they work, or say what they need."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.export.posed import posed
from avatar.export.web import WebMotion, web_container
from avatar.model.avatar import Avatar
from avatar.types import map_tensors
from tests.support.browser import Page, chromium, find_chromium
from tests.support.fake_vision import fake_pack, film
from tests.support.web_site import serve, visit
from tests.system.web.conftest import HEADER
from tests.system.web.test_camera import ALLOWED, MESSAGE, STATE
from viewer.web.page import build_page, build_split_page, inline_policy, split_policy

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "web.md"
#: The policies of the guide by page.
LEAST = dict(re.findall(r"^\| (.*?) \| `Content-Security-Policy: (.*?)` \|$", GUIDE.read_text(encoding="utf-8"), re.M))
SINGLE, SINGLE_CAMERA, SPLIT, SPLIT_CAMERA = LEAST
#: Address of each page of the guide on the site.
ADDRESS = {SINGLE: "/me.html", SINGLE_CAMERA: "/camera.html", SPLIT: "/split/", SPLIT_CAMERA: "/split%20camera.html"}
TRUSTED = "require-trusted-types-for 'script'"
DISPLAY = "getComputedStyle(document.body).display"
SHOWN = "".join(
    f"{{const e = document.getElementById('{name}'); if (e?.getClientRects().length) found.push(e.innerText)}}"
    for name in ("blocked", "failure")
)
SENTENCES = f"(() => {{ const found = []; {SHOWN} return found; }})()"


@pytest.fixture(scope="module")
def moving(layered: Avatar) -> bytes:
    """A container with a motion that opens the jaw."""
    frames = [posed(layered), posed(layered, {"jawOpen": 0.8})]
    params = map_tensors(lambda *values: torch.cat(values), *frames)
    return web_container(layered, HEADER, "tiny", WebMotion("take", np.array([0.0, 5.0]), params))


@pytest.fixture(scope="module")
def site(container: bytes, moving: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each kind of page."""
    folder = tmp_path_factory.mktemp("site")
    pack = fake_pack(film())
    (folder / "me.html").write_text(build_page(container, "tiny"), encoding="utf-8")
    (folder / "camera.html").write_text(build_page(container, "tiny", camera=pack), encoding="utf-8")
    write(folder / "split", build_split_page(container, "tiny"))
    write(folder / "motion", build_split_page(moving, "tiny"))
    files = dict(build_split_page(container, "tiny", camera=pack, folder="split camera_files"))
    (folder / "split camera.html").write_bytes(files.pop("index.html"))
    write(folder / "split camera_files", files)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An empty page of a browser with a camera."""
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with chromium(tmp_path_factory.mktemp("profile"), (420, 400), ALLOWED) as page:
        yield page


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def sentence(page: Page, address: str) -> str:
    """The only text of a page that is blocked; empty where its avatar is shown."""
    visit(page, address)
    page.run("globalThis.headsplat?.then((app) => { globalThis.app = app; })")
    page.wait(f"globalThis.app?.player.frame || {SENTENCES}.length")
    found = page.run(SENTENCES)
    assert len(found) <= 1 and all(text.endswith(".") and "\n" not in text for text in found)
    return found[0] if found else ""


def stated(text: str) -> str:
    """The policy that a page says it needs."""
    found = re.search(r'header "Content-Security-Policy: ([^"]*)"', text)
    assert found is not None, text
    return found[1]


def start_camera(page: Page) -> None:
    page.wait("app.camera")
    page.run("app.camera.start(); 0")


def camera_sentence(page: Page, address: str) -> str:
    """What the page says when its camera is blocked."""
    assert not sentence(page, address)
    start_camera(page)
    page.wait(f"!app.camera.isStarting && !app.camera.isOn && {MESSAGE}")
    return str(page.run(MESSAGE))


def test_the_guide_has_the_policy_of_each_page() -> None:
    inline = "'unsafe-inline'"
    expected = {
        "one file": inline_policy(inline, inline),
        "one file, `--with-camera`": inline_policy(inline, inline, camera=True),
        "`--split`": split_policy(),
        "`--split --with-camera`": split_policy(camera=True),
    }
    assert expected == LEAST


def test_a_blocked_page_shows_nothing_but_the_header_that_it_needs(browser: Page, site: Path) -> None:
    with serve(site, policy="default-src 'self'") as server:
        text = sentence(browser, f"{server}/me.html")
        assert text == browser.run("document.body.innerText").strip()
    assert re.sub(r"'sha256-[^']+'", "'unsafe-inline'", stated(text)) == LEAST[SINGLE]
    assert text.startswith("This page needs JavaScript and, where its web server restricts scripts and styles, the ")
    assert text.endswith(" (or an export with --split).")
    with serve(site, policy=stated(text)) as server:
        assert not sentence(browser, f"{server}/me.html")
        assert not browser.errors()


@pytest.mark.parametrize("kind", LEAST)
def test_a_page_works_with_the_header_of_the_guide(browser: Page, site: Path, kind: str) -> None:
    with serve(site, policy=LEAST[kind]) as server:
        assert not sentence(browser, server + ADDRESS[kind])
        assert browser.run(DISPLAY) == "flex"
        if "camera" in kind:
            start_camera(browser)
            browser.wait(f"{STATE} === 'live'")
            browser.run("app.camera.stop()")
        assert not browser.errors()


@pytest.mark.parametrize("kind", LEAST)
def test_a_narrower_header_than_that_of_the_guide_is_named(browser: Page, site: Path, kind: str) -> None:
    """Each source that scripts, workers and connections need; the page works without that of its style."""
    rules = LEAST[kind].split("; ")
    narrower = []
    for k, rule in enumerate(rules):
        name, *sources = rule.split(" ")
        if name != "style-src" and sources != ["'none'"]:
            for source in sources:
                rest = " ".join(other for other in sources if other != source) or "'none'"
                narrower.append("; ".join([*rules[:k], f"{name} {rest}", *rules[k + 1 :]]))
    assert narrower
    for policy in narrower:
        with serve(site, policy=policy) as server:
            text = sentence(browser, server + ADDRESS[kind])
            if not text:
                text = camera_sentence(browser, server + ADDRESS[kind])
                assert re.match(r"A header of the web server blocks the camera \([\w-]+\); ", text)
        assert re.sub(r"'sha256-[^']+'", "'unsafe-inline'", stated(text)) == LEAST[kind]


def test_a_split_page_plays_its_motion(browser: Page, site: Path) -> None:
    with serve(site, policy=LEAST[SPLIT]) as server:
        assert not sentence(browser, f"{server}/motion/")
        browser.wait("app.playback.isPlaying || app.playback.toggle() || app.playback.isPlaying")
        browser.wait("app.playback.time > 0.2")
        assert "Consent: a synthetic person" in browser.run("document.getElementById('consent').textContent")
        assert not browser.errors()


@pytest.mark.parametrize(
    ("policy", "single", "split"),
    [
        ("style-src 'self'", "", ""),
        ("style-src 'none'", "", "This page needs JavaScript, all of its files"),
        ("script-src 'self'", "This page needs JavaScript", ""),
        ("script-src 'self' 'unsafe-inline'", r"A header .* blocks a part of this page \(worker-src\); the page", ""),
        ("worker-src 'none'", r"A header .* \(worker-src\);", r"A header .* \(worker-src\);"),
        ("img-src 'none'", "", ""),
        ("connect-src 'none'", "", r"A header .* \(connect-src\);"),
        (TRUSTED, "", ""),
        (f"{TRUSTED}; trusted-types 'none'", r"A header .* \(require-trusted-types-for\);", "A header .* blocks"),
        ("sandbox", "This page needs JavaScript", "This page needs JavaScript"),
        (
            "sandbox allow-scripts",
            "",
            "The sandbox of this page, .*, blocks its files; add allow-same-origin to it, or export the page without",
        ),
        ("sandbox allow-scripts allow-same-origin", "", ""),
    ],
)
def test_other_headers_are_no_obstacle_or_named(
    browser: Page, site: Path, policy: str, single: str, split: str
) -> None:
    with serve(site, policy=policy) as server:
        for address, expected in ((ADDRESS[SINGLE], single), (ADDRESS[SPLIT], split)):
            text = sentence(browser, server + address)
            assert re.match(expected, text) if expected else not text
            if not expected:
                assert browser.run(DISPLAY) == "flex"


@pytest.mark.parametrize("kind", [SINGLE_CAMERA, SPLIT_CAMERA])
def test_the_camera_works_where_trusted_types_are_required(browser: Page, site: Path, kind: str) -> None:
    with serve(site, policy=f"{LEAST[kind]}; {TRUSTED}; trusted-types headsplat default") as server:
        assert not sentence(browser, server + ADDRESS[kind])
        start_camera(browser)
        browser.wait(f"{STATE}.includes('face')")
        browser.run("app.camera.stop()")
        assert not browser.errors()


def test_a_sandbox_without_the_origin_of_the_page_has_no_camera(browser: Page, site: Path) -> None:
    with serve(site, policy="sandbox allow-scripts") as server:
        text = camera_sentence(browser, server + ADDRESS[SINGLE_CAMERA])
    assert text == (
        "The sandbox of this page, from a header of the web server or the frame around it, blocks the camera; add "
        "allow-same-origin to it."
    )


@pytest.mark.parametrize("device", ["camera", "microphone"])
def test_a_header_that_withholds_a_device_is_named(browser: Page, site: Path, device: str) -> None:
    with serve(site, permissions=f"{device}=()") as server:
        assert not sentence(browser, server + ADDRESS[SPLIT_CAMERA])
        browser.wait("app.camera")
        browser.run(f"document.getElementById('{device}').click()")
        browser.wait(MESSAGE)
        assert browser.run(MESSAGE) == (
            f"A header of the web server (Permissions-Policy) or the frame around this page blocks the {device}; "
            "allow it there."
        )


def test_a_damaged_avatar_is_not_taken_for_a_blocked_one(browser: Page, container: bytes, tmp_path: Path) -> None:
    (tmp_path / "me.html").write_text(build_page(container[:-4], "me"), encoding="utf-8")
    with serve(tmp_path, policy="style-src 'none'; img-src 'none'") as server:
        assert sentence(browser, f"{server}/me.html").startswith("The avatar is incomplete")


def test_a_split_page_from_the_disk_says_that_it_needs_a_server(browser: Page, site: Path) -> None:
    text = sentence(browser, (site / "split" / "index.html").as_uri())
    assert text == (
        "This page was exported with --split, for a web server; put its files on one, or export it without --split."
    )


@pytest.mark.parametrize("name", ["page.css", "page.js", "worker.js", "avatar.hsa"])
def test_a_missing_file_of_a_split_page_gives_one_sentence(
    browser: Page, container: bytes, tmp_path: Path, name: str
) -> None:
    write(tmp_path / "split", build_split_page(container, "tiny"))
    (tmp_path / "split" / name).unlink()
    with serve(tmp_path) as server:
        text = sentence(browser, f"{server}/split/")
    if name == "avatar.hsa":
        assert text == "avatar.hsa cannot be loaded (status 404); check its address."
    else:
        assert "all of its files" in text


def test_a_split_page_has_nothing_inline(site: Path) -> None:
    for path in (site / "split" / "index.html", site / "split camera.html"):
        text = path.read_text(encoding="utf-8")
        assert "<style" not in text and "style=" not in text and not re.search(r"\son\w+=", text)
        for element in re.findall(r"<script[^>]*>[^<]*", text):
            assert element.endswith(">") and ("data-" in element or "src=" in element)
        for file in re.findall(r'(?:src|href|data-(?!needs)\w+)="([^"]+)"', text):
            assert (path.parent / html.unescape(file).replace("%20", " ")).is_file()
