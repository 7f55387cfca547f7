"""The bundle for LAM as LAM's own web renderer shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avatar.export import posed, write_lam
from avatar.export.lam import EYE_HEIGHT
from avatar.export.placement import Placement
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.rendering.render import render
from avatar.types import Camera
from tests.support.browser import Page
from tests.support.three_js import npm_install
from tests.support.web_site import serve, visit

_PACKAGE = "gaussian-splat-renderer-for-lam@0.0.8"
SIDE = 400
_PAGE = f"""<!doctype html><meta charset="utf-8"><body style="margin: 0">
<div id="box" style="width: {SIDE}px; height: {SIDE}px"></div><script type="module">
import {{ GaussianSplatRenderer }} from
  "./node_modules/gaussian-splat-renderer-for-lam/build/gaussian-splat-renderer-for-lam.module.js";
const rest = Object.fromEntries({json.dumps(ARKIT_52)}.map((name) => [name, 0]));
globalThis.weights = {{}};
globalThis.shown = await GaussianSplatRenderer.getInstance(
  document.getElementById("box"), `${{location.origin}}/me.zip`, {{
    getChatState: () => "Idle",
    getExpressionData: () => ({{ ...rest, ...globalThis.weights }}),
    loadProgress: (part) => (globalThis.isLoaded = part === 1),
    backgroundColor: "0xffffff",
  }},
);
/** The image of the third frame with weights; the browser empties the canvas after the task that renders it. */
globalThis.take = (weights) => new Promise((resolve) => {{
  const {{ viewer }} = shown, render = viewer.render;
  let count = 0;
  globalThis.weights = weights;
  viewer.shouldRender = () => true;
  viewer.render = () => {{
    render.call(viewer);
    if (++count < 3) return;
    viewer.render = render;
    resolve(GaussianSplatRenderer._canvas.toDataURL());
  }};
}});
</script>"""
#: Of the renderer: 50 degrees of height, from 1.8 m above the ground, 10 degrees down.
_FOCAL = SIDE / 2 / np.tan(np.radians(25))


@pytest.fixture(scope="module")
def scene(page: Page, layered: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("lam")
    if reason := npm_install(folder, _PACKAGE):
        pytest.skip(reason)
    write_lam(folder / "me.zip", layered)
    (folder / "index.html").write_text(_PAGE, encoding="utf-8")
    with serve(folder) as address:
        visit(page, f"{address}/index.html")
        page.wait("globalThis.isLoaded")
        page.run("shown.viewer.splatMesh.sceneFadeInRateMultiplier = 80, 0")  # it fades in over seconds
        page.wait("!shown.viewer.splatMesh.visibleRegionChanging")
        yield page


def taken(page: Page, weights: dict[str, float]) -> NDArray[np.float64]:
    """RGB [H,W,3] 0..1 of what the renderer shows."""
    return page.image(f"take({json.dumps(weights)})") / 255


def own(avatar: Avatar, weights: dict[str, float]) -> NDArray[np.float64]:
    """The same by headsplat's renderer."""
    down = np.radians(10)
    world_to_cam = torch.eye(4)
    rows = [[1, 0, 0], [0, -np.cos(down), np.sin(down)], [0, -np.sin(down), -np.cos(down)]]
    world_to_cam[:3, :3] = torch.tensor(rows, dtype=torch.float32)
    world_to_cam[:3, 3] = world_to_cam[:3, :3] @ -torch.tensor([0.0, 1.8 - EYE_HEIGHT, 1.0])
    K = torch.tensor([[_FOCAL, 0, SIDE / 2], [0, _FOCAL, SIDE / 2], [0, 0, 1]], dtype=torch.float32)
    gaussians = Placement.centered(avatar).gaussians(avatar(posed(avatar, weights)))
    out = render(gaussians, Camera(K[None], world_to_cam[None], SIDE, SIDE), (1.0, 1.0, 1.0), with_depth=False)
    return out.rgb[0].numpy()


def psnr(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(-10 * np.log10(((one - other) ** 2).mean()))


@torch.no_grad()
def test_the_renderer_shows_the_resting_face_as_headsplat_does(scene: Page, layered: Avatar) -> None:
    found, expected = taken(scene, {}), own(layered, {})
    assert expected.std() > 0.05
    assert scene.run("Object.keys(shown.viewer.splatMesh.flameModel.morphTargetDictionary)") == list(ARKIT_52)
    assert psnr(found, expected) > 28


@torch.no_grad()
@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "browInnerUp"])
def test_an_expression_moves_what_headsplat_moves(scene: Page, layered: Avatar, name: str) -> None:
    """The renderer multiplies some weights by factors of its own: jawOpen by 1.2."""
    weight = 0.7 / (1.2 if name == "jawOpen" else 1)
    rest, found = taken(scene, {}), taken(scene, {name: weight})
    still, expected = own(layered, {}), own(layered, {name: 0.7})
    assert psnr(found, expected) > psnr(rest, expected) + 0.2  # of the whole image: a lid is small
    moved = np.abs(expected - still).max(-1) > 0.05
    change = np.abs(found - rest).max(-1)
    assert change[moved].mean() > 5 * change[~moved].mean()
    # Rotations and colors of Gaussians, which follow an expression too, stay as they are.
    assert np.corrcoef((found - rest)[moved].ravel(), (expected - still)[moved].ravel())[0, 1] > 0.5


def test_all_weights_at_zero_again_is_the_resting_face(scene: Page) -> None:
    rest = taken(scene, {})
    assert np.abs(taken(scene, {"jawOpen": 1}) - rest).max() > 0.1
    assert np.abs(taken(scene, {}) - rest).max() < 0.02
