"""The example that shows an avatar as splats of Spark: like the element's own image, sorted with what is around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.browser import Page
from tests.support.three_js import EXAMPLE, install_three
from tests.support.web_site import serve, visit
from viewer.web.package import write_package

SPARK_EXAMPLE = EXAMPLE.with_name("spark_scene.html")
#: The image after some frames, as Spark sorts in a worker.
_TAKE = """new Promise((resolve) => { let count = 0; const look = () => {
  if (++count < 12) return requestAnimationFrame(look);
  example.renderer.render(example.scene, example.camera);
  resolve(example.renderer.domElement.toDataURL()); }; requestAnimationFrame(look); })"""
#: The same by the element, over the same background.
_OWN = """(async () => {
  const avatar = document.createElement("headsplat-avatar");
  await avatar.load("me.hsa");
  const { camera, space, renderer } = example, { width, height } = renderer.domElement;
  avatar.setBackground([0, 0, 0, 1]);
  return new Promise((resolve) => {
    avatar.addEventListener("frame", ({ detail }) => {
      if (!detail.camera) return;
      resolve(avatar.canvas.toDataURL());
      avatar.dispose();
    });
    avatar.setCamera({ view: camera.matrixWorldInverse.elements, projection: camera.projectionMatrix.elements,
      model: space.matrixWorld.elements, width, height });
  });
})()"""


@pytest.fixture(scope="module")
def scene(page: Page, container: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The example at rest, over black, without the objects around the head."""
    folder = tmp_path_factory.mktemp("spark")
    text = SPARK_EXAMPLE.read_text(encoding="utf-8")
    package = re.search(r"@sparkjsdev/spark@[\d.]+", text)
    assert package is not None
    if reason := install_three(folder, package[0]):
        pytest.skip(reason)
    write_package(folder)
    (folder / "me.hsa").write_bytes(container)
    (folder / "scene.html").write_text(text, encoding="utf-8")
    with serve(folder) as address:
        visit(page, f"{address}/scene.html")
        page.wait("globalThis.example && example.splats.extSplats.numSplats > 0")
        page.run("document.getElementById('moving').checked = false, example.avatar.setPose({ weights: {} })")
        page.run("example.scene.background = null, example.ring.visible = example.beads.visible = false")
        wait_for_splats(page)
        yield page


def wait_for_splats(page: Page) -> None:
    """Until two images are equal and show something: a worker of Spark sorts, and may take long on busy cores."""
    before = taken(page)
    for _ in range(20):
        now = taken(page)
        if now.any() and (now == before).all():
            return
        before = now
    raise AssertionError("the image of the scene does not come to rest")


def taken(page: Page) -> NDArray[np.int64]:
    return page.image(_TAKE).astype(int)


def changed(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.abs(one - other).max(-1) > 25


def test_the_avatar_looks_as_in_the_elements_own_image(scene: Page) -> None:
    found, own = taken(scene), scene.image(_OWN).astype(int)
    assert own.std() > 10
    assert -10 * np.log10(((found - own) ** 2).mean() / 255**2) > 25


def test_it_follows_the_pose(scene: Page) -> None:
    rest = taken(scene)
    scene.run("example.avatar.setPose({ weights: { jawOpen: 1 } })")
    opened = taken(scene)
    scene.run("example.avatar.setPose({ weights: {} })")
    assert changed(opened, rest).sum() > 100
    assert not changed(taken(scene), rest).any()


@pytest.mark.parametrize("name", ["ring", "beads"])
def test_a_part_of_an_object_around_the_head_is_before_it_and_a_part_behind(scene: Page, name: str) -> None:
    """A mesh hides splats and is hidden by them; splats are sorted with those of the avatar."""
    head = taken(scene)
    scene.run(f"example.{name}.visible = true, example.camera.position.set(0, 0.25, 0.8)")
    scene.run("example.splats.visible = false")
    alone = taken(scene)
    scene.run("example.splats.visible = true")
    both = taken(scene)
    scene.run(f"example.{name}.visible = false")
    without = taken(scene)
    scene.run("example.camera.position.set(0.25, 0.05, 0.8)")
    assert changed(head, without).any()  # the camera has moved
    crossing = (alone.max(-1) > 60) & (without.max(-1) > 60)
    in_front = crossing & ~changed(both, alone)
    behind = crossing & ~changed(both, without)
    assert in_front.sum() > 50 and behind.sum() > 50
    assert np.nonzero(in_front)[0].mean() > np.nonzero(behind)[0].mean()  # seen from above


def test_an_avatar_that_was_loaded_for_images_is_refused(scene: Page) -> None:
    script = """import("./spark.js").then(({ AvatarSplats }) => {
      try { new AvatarSplats(example.avatar.cloneNode()); } catch (error) { return error.message; } })"""
    assert scene.run(script) == "set asGaussians of the avatar before it is loaded"


def test_the_example_reports_no_error(scene: Page) -> None:
    assert not [entry for entry in scene.errors() if "favicon" not in str(entry)]
