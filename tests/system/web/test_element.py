"""The npm package: `<headsplat-avatar>` and `loadAvatar` on pages of others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar import __version__
from avatar.driving.trained_range import TrainedRange
from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from avatar.performance.speech.stream import SpeechStream
from tests.support.browser import Page
from tests.support.web_site import serve, visit
from tests.system.web.test_driving import assert_params
from viewer.web.package import write_package
from viewer.web.speech_server import SpeechServer

ROOT = Path(__file__).parents[3]
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src blob:; style-src 'self'"
PLAIN = '<!doctype html><script type="module" src="page.js"></script><main></main>'
SCRIPT = 'import * as player from "./headsplat.js"; globalThis.player = player;'


@pytest.fixture(scope="module")
def site(container: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a folder with the package, the example, avatars and an empty page."""
    folder = tmp_path_factory.mktemp("site")
    write_package(folder)
    for name in ("left", "right"):
        (folder / f"{name}.hsa").write_bytes(container)
    (folder / "broken.hsa").write_bytes(container[:1000])
    (folder / "plain.html").write_text(PLAIN, encoding="utf-8")
    (folder / "free.html").write_text(PLAIN, encoding="utf-8")
    (folder / "page.js").write_text(SCRIPT, encoding="utf-8")
    example = ROOT / "examples" / "web" / "two_avatars.html"
    (folder / "two.html").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    blocked = POLICY.replace("worker-src blob:; ", "")
    (folder / "blocked.html").write_text(PLAIN, encoding="utf-8")
    with serve(folder, {"/plain.html": POLICY, "/blocked.html": blocked}) as address:
        yield address


@pytest.fixture(scope="module")
def plain(page: Page, site: str) -> Page:
    """A page with a strict policy and one avatar, `view`."""
    visit(page, f"{site}/plain.html")
    page.wait("globalThis.player")
    page.run("player.loadAvatar(document.querySelector('main'), 'left.hsa').then((e) => { globalThis.view = e; })")
    page.wait("view.player.frame")
    return page


def pixels(page: Page, element: str = "view") -> np.ndarray:
    page.wait(f"!{element}.isRequested && !{element}.player.isBusy")
    return page.image(f"(() => {{ const p = {element}.player; p.redraw(); return p.canvas.toDataURL(); }})()")


def test_the_package_is_complete(tmp_path: Path) -> None:
    write_package(tmp_path)
    description = json.loads((tmp_path / "package.json").read_text())
    assert description["version"] == __version__ and description["license"] == "Apache-2.0"
    assert set(description["files"]) == {path.name for path in tmp_path.iterdir()} - {"package.json"}
    script = (tmp_path / "headsplat.js").read_text()
    assert script.rstrip().endswith("export { HeadsplatAvatar, loadAvatar };")
    assert "{{worker}}" not in script and "http://" not in script and "https://" not in script
    types = (tmp_path / "headsplat.d.ts").read_text()
    for name in ("canvas", "placement"):
        assert f"  readonly {name}: " in types and f"\n  get {name}(" in script
    for name in ("load", "setPose", "setCamera", "setBackground", "follow", "toggleSound", "play", "pause", "dispose"):
        assert f"  {name}(" in types and f"\n  {name}(" in script.replace("async ", "")


def test_a_pose_is_that_of_the_engine(plain: Page, layered: Avatar) -> None:
    before = pixels(plain)
    weights = {"jawOpen": 1.0, "mouthSmileLeft": 0.5}
    shown = "globalThis.sent = null; const show = view.player.show.bind(view.player); "
    shown += "view.player.show = (params, camera) => { sent = params; return show(params, camera); };"
    plain.run(f"(() => {{ {shown} view.setPose({{ weights: {json.dumps(weights)}, head: [20, 0, 0] }}); }})()")
    plain.wait("sent")
    assert_params(plain.run("sent"), TrainedRange.of(layered)(posed(layered, weights, (20, 0, 0))))
    assert np.abs(pixels(plain).astype(int) - before).max() > 20
    plain.run("(() => { sent = null; view.setPose({ limited: false }); })()")
    plain.wait("sent")
    assert_params(plain.run("sent"), posed(layered, weights, (20, 0, 0)))
    plain.run("view.setPose({ weights: {}, head: [0, 0, 0], limited: true })")
    np.testing.assert_array_equal(pixels(plain), before)


def test_the_camera_turns_and_comes_closer(plain: Page) -> None:
    before = pixels(plain)
    plain.run("view.setCamera({ yaw: 0.5, zoom: 2 })")
    assert plain.run("[view.orbit.yaw, view.orbit.pitch, view.orbit.zoom]") == pytest.approx([0.5, 0, 2])
    assert np.abs(pixels(plain).astype(int) - before).max() > 20
    plain.run("view.setCamera({ yaw: 0, zoom: 1 })")
    np.testing.assert_array_equal(pixels(plain), before)


def scene_camera(camera: dict[str, Any], placed: np.ndarray) -> dict[str, Any]:
    """A camera of the player as that of a scene in which `placed` [4,4] puts the avatar."""
    width, height = camera["width"], camera["height"]
    flip = np.diag([1.0, -1, -1, 1])
    world_to_cam = np.eye(4)
    world_to_cam[:3] = np.c_[np.reshape(camera["rotation"], (3, 3)), np.array(camera["translation"])]
    scale = np.diag([np.cbrt(np.linalg.det(placed[:3, :3]))] * 3 + [1.0])
    view = scale @ flip @ world_to_cam @ np.linalg.inv(placed)
    projection = np.zeros((4, 4))
    projection[0, [0, 2]] = 2 * camera["fx"] / width, 1 - 2 * camera["cx"] / width
    projection[1, [1, 2]] = 2 * camera["fy"] / height, 2 * camera["cy"] / height - 1
    projection[2:, 2:] = [[-1.01, -0.1], [-1.0, 0.0]]
    named = {"view": view, "projection": projection, "model": placed}
    columns = {name: matrix.T.flatten().tolist() for name, matrix in named.items()}
    return {**columns, "width": width, "height": height}


PLACED = np.array([[0, 0, 2.5, 1], [0, 2.5, 0, -3], [-2.5, 0, 0, 0.5], [0, 0, 0, 1]])


def test_the_camera_of_a_scene_sees_the_avatar_where_it_is_placed(plain: Page) -> None:
    camera = plain.run("view.orbit.camera(301, 200)")
    plain.run(f"view.setCamera({json.dumps(scene_camera(camera, PLACED))})")
    plain.wait("view.player.frame.camera.scene")
    shown = plain.run("view.player.frame.camera")
    for key in ("fx", "fy", "cx", "cy", "rotation", "translation"):
        assert shown[key] == pytest.approx(camera[key], abs=1e-9), key
    image = pixels(plain)
    assert image.shape == (200, 301, 3) and image.std() > 10
    plain.run(f"view.player.show(undefined, {json.dumps(camera)})")
    assert np.abs(image.astype(int) - pixels(plain)).max() <= 1
    plain.run("view.setCamera({})")


def test_a_frame_says_with_which_camera_of_the_scene_it_was_rendered(plain: Page) -> None:
    camera = scene_camera(plain.run("view.orbit.camera(80, 60)"), PLACED)
    plain.run("globalThis.cameras = []; globalThis.note = ({ detail }) => cameras.push(detail.camera)")
    plain.run("view.addEventListener('frame', note)")
    plain.run(f"globalThis.given = {json.dumps(camera)}; view.setCamera(given); given.view[12] += 1")
    plain.wait("cameras.some(Boolean)")
    assert plain.run("cameras.find(Boolean)") == camera  # as it was when it was given
    before = pixels(plain)
    plain.run("cameras.length = 0; view.setCamera({ yaw: 0 })")
    plain.wait("cameras.length")
    assert plain.run("cameras") == [None]
    plain.run("view.removeEventListener('frame', note)")
    assert pixels(plain).shape != before.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("width: 0", "expected a width and a height of 1 to 4096 whole pixels, got 0"),
        ("height: 20.5", "expected a width and a height of 1 to 4096 whole pixels, got 20.5"),
        ("view: [1, 2]", "expected a number, got undefined"),
        (
            "projection: given.projection.with(11, 0).with(15, 1)",
            "expected the projection matrix of a perspective",
        ),
        ("projection: given.projection.with(4, 0.1)", "expected the projection matrix of a perspective"),
        ("model: given.model.with(5, -2.5)", "expected view and model of rotation, translation and one positive scale"),
        ("model: given.model.with(5, 2)", "expected view and model of rotation, translation and one positive scale"),
        ("model: given.model.with(3, 1)", "expected view and model of rotation, translation and one positive scale"),
    ],
)
def test_a_camera_that_is_no_camera_of_a_scene_is_refused(plain: Page, change: str, message: str) -> None:
    camera = scene_camera(plain.run("view.orbit.camera(80, 60)"), PLACED)
    tried = f"view.setCamera({{ ...given, {change} }}); return ''"
    caught = plain.run(
        f"(() => {{ const given = {json.dumps(camera)}; "
        f"try {{ {tried}; }} catch (error) {{ return error.message; }} }})()"
    )
    assert caught.startswith(message)
    assert plain.run("view.pinhole") is None


def test_an_avatar_outside_the_page_is_rendered(plain: Page) -> None:
    camera = scene_camera(plain.run("view.orbit.camera(80, 60)"), np.eye(4))
    del camera["model"]
    plain.run(
        "(async () => { const e = document.createElement('headsplat-avatar'); globalThis.free = e; "
        f"await e.load('left.hsa'); e.setCamera({json.dumps(camera)}); }})()"
    )
    plain.wait("free.player.frame?.camera.scene")
    assert plain.run("[free.isConnected, free.canvas.width, free.canvas.height]") == [False, 80, 60]
    assert pixels(plain, "free").std() > 10
    plain.run("free.dispose()")
    assert plain.run("[free.canvas, free.placement]") == [None, None]


def test_the_place_of_the_head_is_known(plain: Page) -> None:
    placement = plain.run("view.placement")
    assert placement == plain.run("({ center: view.orbit.center, forward: view.orbit.forward })")
    assert np.linalg.norm(placement["forward"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "call", ["setPose({ weights: { jawOpen: NaN } })", "setPose({ head: [0] })", "setCamera({ zoom: 'near' })"]
)
def test_what_is_no_number_is_refused(plain: Page, call: str) -> None:
    caught = plain.run(f"(() => {{ try {{ view.{call}; return ''; }} catch (error) {{ return error.message; }} }})()")
    assert caught.startswith("expected a number, got ")
    plain.run("view.setPose({ weights: {}, gaze: [0, 0], head: [0, 0, 0] })")


def test_names_and_origin_of_the_avatar_are_known(plain: Page, layered: Avatar) -> None:
    assert plain.run("view.expressionNames") == list(layered.head.expression_names)
    assert plain.run("view.about.consent") == "a synthetic person"
    assert plain.run("view.player.canvas.ariaLabel").startswith("tiny: drag")


def test_events_report_load_and_frames(plain: Page) -> None:
    script = (
        "(() => { globalThis.seen = []; const e = document.createElement('headsplat-avatar'); globalThis.second = e; "
        "for (const name of ['load', 'frame']) e.addEventListener(name, ({ detail }) => seen.push([name, detail])); "
        "e.src = 'x'; e.setAttribute('src', 'right.hsa'); document.querySelector('main').append(e); })()"
    )
    plain.run(script)
    plain.wait("seen.length >= 2")
    (first, _), (then, detail) = plain.run("seen.slice(0, 2)")
    assert (first, then) == ("load", "frame")
    assert detail["poseTime"] >= 0 and detail["sortTime"] >= 0
    assert plain.run("second.turnOfLoad") == 1
    plain.run("second.remove()")
    plain.wait("second.player === null")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("broken.hsa", "The avatar is incomplete (1000 of "),
        ("gone.hsa", "gone.hsa cannot be loaded (status 404); check its address."),
        ("page.js", "The data is not an avatar for the web; "),
        ("https://example.org/me.hsa", "me.hsa cannot be loaded; check its address."),
    ],
)
def test_a_file_that_cannot_be_shown_gives_one_sentence(plain: Page, source: str, message: str) -> None:
    script = (
        "(() => { globalThis.failure = null; const e = document.createElement('headsplat-avatar'); globalThis.bad = e; "
        "e.addEventListener('error', ({ detail }) => { failure = detail; }); "
        f"e.setAttribute('src', {json.dumps(source)}); document.querySelector('main').append(e); }})()"
    )
    plain.run(script)
    plain.wait("failure")
    assert plain.run("failure").startswith(message)
    assert plain.run("bad.shadowRoot.textContent") == plain.run("failure")
    plain.run("bad.remove()")


def test_the_strict_policy_of_a_page_is_enough(plain: Page) -> None:
    violated = [entry for entry in plain.errors() if "Content Security Policy" in json.dumps(entry)]
    assert [entry for entry in violated if "example.org" not in json.dumps(entry)] == []


def test_the_example_shows_two_avatars_that_talk(page: Page, site: str) -> None:
    visit(page, f"{site}/two.html")
    page.wait("['left', 'right'].every((id) => document.getElementById(id).player?.frame)")
    page.run("globalThis.left = document.getElementById('left')")
    first = page.run("left.pose.turn[1]")
    page.wait(f"left.pose.turn[1] !== {first}")
    assert page.run("[left.pose.turn[0], document.getElementById('right').pose.turn[0]]") == [25, -25]
    assert page.image("left.player.redraw() ?? left.player.canvas.toDataURL()").std() > 10
    assert not [entry for entry in page.errors() if "favicon" not in json.dumps(entry)]


def test_a_header_that_blocks_the_worker_is_named(page: Page, site: str) -> None:
    visit(page, f"{site}/blocked.html")
    page.wait("globalThis.player")
    call = "player.loadAvatar(document.querySelector('main'), 'left.hsa').then(() => 'loaded', (e) => e.message)"
    said = (
        'A header of the web server blocks the avatar (worker-src); the page needs "worker-src blob:" in its '
        "Content-Security-Policy."
    )
    assert page.run(call) == said
    assert page.run("document.querySelector('headsplat-avatar').shadowRoot.textContent") == said


def test_an_element_follows_a_voice_until_it_is_posed(page: Page, site: str, layered: Avatar) -> None:
    pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")
    server = SpeechServer("", layered, SpeechStream(), port=0, origins=(site,))
    server.start()
    try:
        visit(page, f"{site}/free.html")
        page.wait("globalThis.player")
        page.run("player.loadAvatar(document.querySelector('main'), 'left.hsa').then((e) => { globalThis.view = e; })")
        page.wait("view.player.frame")
        page.run("globalThis.states = []; view.addEventListener('voice', ({ detail }) => states.push(detail))")
        page.run(f"view.follow({server.address!r})")
        page.wait("states[0] === 'live' && view.speech.number > 0")
        page.run("view.toggleSound()")
        page.wait("view.speech.context.currentTime > 0.1 && view.speech.waiting.length > 1")
        number = page.run("view.speech.number")
        page.wait(f"view.speech.number > {number}")
        page.run("view.setPose({ weights: { jawOpen: 0.5 } })")
        assert page.run("view.speech === null")
        Page.wait_for(lambda: not server._viewers, "the end of the connection")
    finally:
        server.stop()
