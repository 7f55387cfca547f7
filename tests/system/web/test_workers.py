"""Several workers draw the image where there is no graphics card."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from tests.support.browser import Page
from tests.system.web.test_images import camera_of, page_camera, page_params
from viewer.web.bundle import module
from viewer.web.page import build_page

SIZES = ((96, 96), (40, 70), (32, 2))
DRAWS_BAND = "const band = raster.draw(job);\n"
Opener = Callable[..., Page]


@pytest.fixture
def opened(page: Page, container: bytes, tmp_path: Path) -> Iterator[Opener]:
    """Opens the page on a machine that has some cores; `change` replaces text of its workers."""
    scripts: list[str] = []

    def open_(cores: int, change: tuple[str, str] | None = None) -> Page:
        source = f"Object.defineProperty(navigator, 'hardwareConcurrency', {{ value: {cores}, configurable: true }})"
        scripts.append(page.call("Page.addScriptToEvaluateOnNewDocument", source=source)["identifier"])
        text = build_page(container, "tiny")
        if change:
            assert change[0] in text
            text = text.replace(*change)
        path = tmp_path / f"{cores}.html"
        path.write_text(text, encoding="utf-8")
        page.open(path, "#processor")
        return page

    yield open_
    for identifier in scripts:
        page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)


def drawn(page: Page, params: dict[str, Any], camera: dict[str, Any], workers: int) -> np.ndarray:
    """The pixels [H,W,4], the lowest row first, that as many workers draw."""
    script = f"""(async () => {{
      const show = () => app.player.show({json.dumps(params)}, {json.dumps(camera)});
      let frame = await show();
      // A helper takes part once it has started.
      for (let k = 0; k < 500 && frame.bands.length < {workers}; k++) frame = await show();
      const {{ width }} = frame.camera;
      return frame.bands.map(({{ first, rows, bytes }}) => [first, rows, [...bytes.subarray(0, 4 * width * rows)]]);
    }})()"""
    bands = page.run(script)
    assert len(bands) == workers
    assert bands[0][0] == 0
    assert [first + rows for first, rows, _ in bands] == [first for first, *_ in bands[1:]] + [camera["height"]]
    pixels = [pixel for *_, band in bands for pixel in band]
    return np.array(pixels, np.uint8).reshape(camera["height"], camera["width"], 4)


def test_any_number_of_workers_draws_the_same_bits(opened: Opener, layered: Avatar) -> None:
    params = page_params(posed(layered, {"jawOpen": 0.7, "eyeBlinkLeft": 0.5}, (15, 0, 0)))
    cameras = [page_camera(camera_of(layered, 10, 0.8, size)) for size in SIZES]
    found = [[drawn(opened(cores), params, camera, cores) for camera in cameras] for cores in (1, 2, 4)]
    for one, *others in zip(*found, strict=True):
        assert one[..., 3].max() == 255
        for other in others:
            np.testing.assert_array_equal(other, one)


def test_no_more_than_four_workers_draw(opened: Opener) -> None:
    assert opened(64).run("app.player.helpers.length") == 3


def test_an_image_without_gaussians_is_empty(opened: Opener, layered: Avatar) -> None:
    camera = page_camera(camera_of(layered, 0, 1, (40, 30)))
    camera["translation"] = [0, 0, -100]
    assert not drawn(opened(2), page_params(posed(layered)), camera, 2).any()


def test_a_pose_does_not_depend_on_the_last_one(opened: Opener, layered: Avatar) -> None:
    camera = page_camera(camera_of(layered, 0, 1, (96, 96)))
    turns: tuple[tuple[dict[str, float], tuple[float, float, float]], ...] = (
        ({}, (0, 0, 0)),
        ({"jawOpen": 1.0}, (0, 0, 0)),
        ({}, (20, 9, 0)),
    )
    poses = [page_params(posed(layered, weights, turn)) for weights, turn in turns]
    page = opened(1)
    found = [drawn(page, poses[k], camera, 1) for k in (0, 1, 2, 0, 2, 1)]
    for k, again in ((0, 3), (1, 5), (2, 4)):
        np.testing.assert_array_equal(found[again], found[k])
    assert not np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_a_player_can_be_disposed_of_while_workers_draw(opened: Opener) -> None:
    page = opened(4)
    page.run("void app.player.show(app.params(), app.orbit.camera(512, 512)); app.player.dispose()")
    page.run("new Promise((resolve) => setTimeout(resolve, 300))")
    assert page.run("app.player.frame") is None
    assert not page.errors()


def test_a_worker_that_fails_gives_one_sentence(opened: Opener) -> None:
    failing = "if (job.camera.width === 33) throw new Error('out of memory');\n"
    page = opened(2, (DRAWS_BAND, failing + DRAWS_BAND))
    page.run("void setInterval(() => app.player.show(app.params(), app.orbit.camera(33, 33)), 50)")
    page.wait("!document.getElementById('failure').hidden")
    failure = page.run("document.getElementById('failure').innerText")
    assert failure == "The avatar cannot be shown (out of memory); export it again."
    assert not page.errors()


def test_a_helper_that_never_starts_is_not_waited_for(opened: Opener, layered: Avatar) -> None:
    page = opened(2, ('port.postMessage({ type: "ready" });', ""))
    camera = page_camera(camera_of(layered, 0, 1, (64, 64)))
    assert drawn(page, page_params(posed(layered)), camera, 1).any()


def test_the_graphics_card_needs_no_helpers(page: Page, container: bytes, tmp_path: Path) -> None:
    path = tmp_path / "me.html"
    path.write_text(build_page(container, "me"), encoding="utf-8")
    page.open(path, "#card")
    assert page.run("[app.player.renderer.onProcessor, app.player.helpers.length]") == [False, 0]


@pytest.mark.parametrize(("count", "rows"), [(1, 100), (2, 100), (4, 100), (4, 3), (4, 1)])
def test_bands_cover_the_image_and_are_of_equal_work(page: Page, count: int, rows: int) -> None:
    source = json.dumps(module("draw_cpu/bands.js"))
    script = f"""(async () => {{
      const url = URL.createObjectURL(new Blob([{source}], {{ type: "text/javascript" }}));
      const {{ bandBorders }} = await import(url);
      const projected = new Float32Array(12 * 400), halfHeights = new Float32Array(400).fill(2);
      // All Gaussians in the lowest tenth of the image.
      for (let k = 0; k < 400; k++) projected.set([9, {rows} * (0.9 + k / 4000), 2, 0, 0, 2, 0.9], 12 * k);
      return bandBorders({{ projected, halfHeights, count: 400 }}, {{ width: 20, height: {rows} }}, null, {count});
    }})()"""
    page.call("Page.navigate", url="about:blank")
    borders = page.run(script)
    assert len(borders) == count + 1 and borders[0] == 0 and borders[-1] == rows
    assert borders == sorted(borders)
    if rows == 100 and count > 1:
        assert borders[1] < 20
