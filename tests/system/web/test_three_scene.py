"""The example that shows an avatar in a scene of three.js: place, order in depth, and camera of each frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.browser import Page
from tests.support.three_js import EXAMPLE, install_three
from tests.support.web_site import serve, visit
from viewer.web.package import write_package

#: Where the center of the head is in the image, pixels: of the scene's camera, and of the player's.
_CENTERS = """(() => {
  const { avatar, head, renderer } = example;
  const { fx, fy, cx, cy, rotation, translation, width, height, scene } = avatar.player.frame.camera;
  const apply = (r, v) => [0, 3, 6].map((k) => r[k] * v[0] + r[k + 1] * v[1] + r[k + 2] * v[2]);
  const [x, y, z] = apply(rotation, avatar.placement.center).map((value, k) => value + translation[k]);
  const place = head.getWorldPosition(head.position.clone()).project(example.camera);
  const own = [0.5 * (1 + place.x) * width, 0.5 * (1 - place.y) * height];
  return [own, [fx * x / z + cx, fy * y / z + cy]];
})()"""


@pytest.fixture(scope="module")
def scene(page: Page, container: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The example, with objects that stand still."""
    folder = tmp_path_factory.mktemp("three")
    if reason := install_three(folder):
        pytest.skip(reason)
    write_package(folder)
    (folder / "me.hsa").write_bytes(container)
    (folder / "scene.html").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    with serve(folder) as address:
        visit(page, f"{address}/scene.html")
        page.wait("globalThis.example && example.avatar.player?.frame?.camera.scene")
        yield page


@pytest.fixture(autouse=True)
def start(scene: Page) -> None:
    """The objects aside, the head in its place, the camera in front of it."""
    scene.run("document.getElementById('controls').reset(), document.getElementById('moving').checked = false")
    scene.run("example.front.position.set(9, 1, 0.25), example.behind.position.set(9, 1.05, -0.35)")
    scene.run("example.camera.position.set(0.3, 1.08, 0.95), example.camera.clearViewOffset(), 0")
    scene.run("example.head.position.set(0, 1, 0), 0")


def taken(page: Page, canvas: str = "example.renderer.domElement") -> np.ndarray:
    """RGB [H,W,3] of a canvas in the third frame from now on, in the task that renders it."""
    return page.image(
        "new Promise((resolve) => { let count = 0; const look = () => { if (++count < 3) return; "
        "example.avatar.removeEventListener('frame', look); "
        f"resolve({canvas}.toDataURL()); }}; example.avatar.addEventListener('frame', look); }})"
    )


def changed(page: Page, script: str) -> np.ndarray:
    """Pixels [H,W] that a script changes."""
    before = taken(page)
    page.run(script)
    return np.abs(taken(page).astype(int) - before).max(-1) > 12


def head_mask(page: Page) -> np.ndarray:
    """Pixels [H,W] that the avatar covers."""
    mask = changed(page, "example.image.visible = false")
    page.run("example.image.visible = true")
    return mask


@pytest.mark.parametrize("place", ["position.set(0, 1, 0)", "position.set(0.2, 1.1, -0.2)"])
@pytest.mark.parametrize("view", ["position.set(0.3, 1.08, 0.95)", "setViewOffset(400, 300, 90, 40, 200, 150)"])
def test_scene_and_player_see_the_head_in_one_place(scene: Page, place: str, view: str) -> None:
    scene.run(f"example.head.{place}; example.camera.{view}; document.getElementById('turn').value = 40")
    taken(scene)
    one, other = scene.run(_CENTERS)
    assert one == pytest.approx(other, abs=1e-3)


def test_the_head_is_seen_and_follows_its_place_and_size(scene: Page) -> None:
    mask = head_mask(scene)
    assert 0.01 < mask.mean() < 0.6
    scene.run("document.getElementById('size').value = 0.5")
    small = head_mask(scene)
    assert small.sum() == pytest.approx(mask.sum() / 4, rel=0.15)
    scene.run("example.head.position.x = 0.15")
    moved = head_mask(scene)
    assert np.nonzero(moved)[1].mean() > np.nonzero(small)[1].mean() + 40


def test_the_avatar_is_what_the_player_shows_with_that_camera(scene: Page) -> None:
    scene.run("example.scene.children.forEach((child) => { child.visible = child === example.image; })")
    scene.run("globalThis.sky = example.scene.background; example.scene.background = null")
    try:
        image = taken(scene)
        own = scene.image(
            "(() => { const { player } = example.avatar; player.setBackground([0, 0, 0, 1]); "
            "return player.canvas.toDataURL(); })()"
        )
        assert own.std() > 5
        assert np.abs(image.astype(int) - own).max() <= 1
    finally:
        scene.run("example.avatar.setBackground([0, 0, 0, 0])")
        scene.run(
            "example.scene.children.forEach((child) => { child.visible = true; }); example.scene.background = sky"
        )


def test_an_object_in_front_hides_the_head_and_one_behind_is_hidden(scene: Page) -> None:
    head = head_mask(scene)
    in_front = changed(scene, "example.front.position.x = 0.08")
    assert (in_front & head).sum() > 300
    scene.run("example.front.position.x = 9")
    at_side = changed(scene, "example.behind.position.x = 0.35")
    assert (at_side & ~head).sum() > 300
    scene.run("example.behind.scale.setScalar(0.4); example.behind.position.x = 9")
    hidden = changed(scene, "example.behind.position.set(-0.11, 0.97, -0.35)") & head
    scene.run("example.image.visible = false; example.behind.position.x = 9")
    uncovered = changed(scene, "example.behind.position.x = -0.11") & head
    scene.run("example.image.visible = true; example.behind.scale.setScalar(1)")
    assert uncovered.sum() > 300
    assert hidden.sum() < 0.02 * uncovered.sum()


def test_each_frame_of_the_scene_has_the_camera_of_the_avatar(scene: Page) -> None:
    """While the camera moves, the scene and the avatar are drawn with the same one."""
    seen = scene.run(
        "new Promise((resolve) => { const { avatar, camera, renderer, scene } = example, rows = []; "
        "const turn = setInterval(() => { camera.position.x += 0.01; }, 5); "
        "scene.onBeforeRender = (_, __, used) => rows.push([...used.matrixWorldInverse.elements]); "
        "const frames = []; const look = ({ detail }) => { frames.push(detail.camera.view); "
        "if (frames.length < 8) return; "
        "avatar.removeEventListener('frame', look); clearInterval(turn); scene.onBeforeRender = () => {}; "
        "resolve([rows, frames]); }; avatar.addEventListener('frame', look); })"
    )
    rendered, frames = (np.array(rows) for rows in seen)
    assert len(np.unique(frames, axis=0)) == len(frames) == 8
    np.testing.assert_allclose(rendered, frames, atol=1e-6)


def test_the_example_reports_no_error(scene: Page) -> None:
    assert not [entry for entry in scene.errors() if "favicon" not in str(entry)]
