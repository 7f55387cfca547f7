"""The widget in notebooks: the example by nbclient, and in JupyterLab in a browser, where sliders move."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatar import save_avatar
from avatar.export.web import web_container
from avatar.model.avatar import Avatar
from tests.support.browser import Page, chromium, find_chromium
from tests.support.jupyter import jupyter_lab, open_notebook, values

pytest.importorskip("anywidget", reason="needs anywidget (pip install 'headsplat[notebook]')")
pytest.importorskip("ipykernel", reason="needs a kernel (pip install ipykernel)")
pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[3] / "examples" / "notebook.ipynb"


def shortened(seconds: int) -> dict[str, Any]:
    """The example with a training of at most so many seconds."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert "max_seconds=30" in text
    return dict(json.loads(text.replace("max_seconds=30", f"max_seconds={seconds}")))


def test_the_example_runs_in_a_kernel(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    book = nbformat.reads(json.dumps(shortened(5)), 4)
    assert not any(cell.get("outputs") for cell in book.cells)
    check = "assert w.status.startswith('demo.avatar: ') and w.progress is None, w.status\nassert len(w._motion) > 1000"
    book.cells.append(nbformat.v4.new_code_cell(check))
    nbclient.NotebookClient(book, timeout=400, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "demo.avatar").stat().st_size > 1 << 20
    views = [output for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    assert [name for view in views for name in view["data"] if "widget-view" in name] == [
        "application/vnd.jupyter.widget-view+json"
    ] * 2


@pytest.fixture(scope="module")
def lab(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    """A browser, and the address of JupyterLab with the example and two avatars."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab (pip install jupyterlab)")
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    folder = tmp_path_factory.mktemp("notebooks")
    save_avatar(folder / "tiny.avatar", tiny_avatar)
    (folder / "other.hsa").write_bytes(web_container(tiny_avatar, {}, "other"))
    source = "import headsplat\nw = headsplat.widget('tiny.avatar', width=240, height=240)\nw"
    cell = {"cell_type": "code", "id": "0", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
    tiny = {key: value for key, value in shortened(1).items() if key != "cells"} | {"cells": [cell]}
    (folder / "tiny.ipynb").write_text(json.dumps(tiny), encoding="utf-8")
    (folder / "example.ipynb").write_text(json.dumps(shortened(300)), encoding="utf-8")
    with (
        jupyter_lab(folder, tmp_path_factory.mktemp("home")) as address,
        chromium(tmp_path_factory.mktemp("profile"), (1300, 900)) as page,
    ):
        yield page, address


LIMIT = 240.0  # seconds of a stage of a training
RUN = "jupyterapp.commands.execute('notebook:run-all-cells')"
SHOWN = "[...document.querySelectorAll('headsplat-avatar')].at(-1)?.player?.frame"


def move(page: Page, kind: str, name: str, value: float) -> None:
    """Move a slider of the widget."""
    page.run(f"globalThis.moved = document.querySelector('.headsplat-widget [data-{kind}=\"{name}\"]')")
    page.run(f"moved.value = '{value}'; moved.dispatchEvent(new Event('input'))")


def save_screenshot(page: Page, path: Path) -> None:
    """Write an image of the page with the first widget at its top."""
    page.run("document.querySelector('.headsplat-widget')?.scrollIntoView()")
    path.write_bytes(base64.b64decode(page.call("Page.captureScreenshot")["data"]))


def test_sliders_and_traits_move_each_other(lab: tuple[Page, str], tmp_path: Path) -> None:
    page, address = lab
    open_notebook(page, address.format("tiny.ipynb"))
    page.run(f"{RUN}.then(() => null)")
    page.wait(SHOWN)
    page.run("globalThis.view = document.querySelector('headsplat-avatar')")
    move(page, "expression", "jawOpen", 0.5)
    move(page, "head", "Turn head", 12)
    page.wait_for(
        lambda: values(page, "w.weights", "w.head") == [{"jawOpen": 0.5}, [12, 0, 0]], "values of the sliders"
    )
    assert page.run("view.pose.weights.get('jawOpen')") == 0.5
    values(page, "setattr(w, 'weights', {'jawOpen': 0.25})", "setattr(w, 'gaze', [0.5, 0])")
    page.wait("document.querySelector('[data-expression=\"jawOpen\"]').value === '0.25'")
    page.wait("view.pose.weights.get('jawOpen') === 0.25 && view.pose.gaze[0] === 0.5 && view.pose.turn[0] === 12")
    # another avatar in the same place: the pose and the camera stay, and the old one's memory is freed
    page.run("view.setCamera({ yaw: 0.4 })")
    values(page, "w.show('other.hsa')", "setattr(w, 'background', '#204060')")
    page.wait("document.querySelector('headsplat-avatar') !== view && view.player === null")
    page.wait("document.querySelectorAll('headsplat-avatar').length === 1")
    page.run("globalThis.view = document.querySelector('headsplat-avatar')")
    page.wait("view.player.frame && view.player.background[3] === 1")
    assert page.run("[view.orbit.yaw, view.pose.turn[0], view.pose.weights.get('jawOpen')]") == [0.4, 12, 0.25]
    # a motion plays until a slider moves
    values(page, "w.play(__import__('avatar.jobs.showcase', fromlist='*').puppet_motion())")
    page.wait("view.isPlaying && view.motionTime > 0.1")
    move(page, "expression", "jawOpen", 0.75)
    page.wait_for(
        lambda: values(page, "w.playing", "w.weights", "w.error") == [False, {"jawOpen": 0.75}, ""], "a pause"
    )
    assert page.run("view.motionTime") is None
    save_screenshot(page, tmp_path / "tiny.png")
    # scrolled out of sight, the cell leaves the page and frees its memory; then it is shown again
    page.run("globalThis.holder = view.closest('.headsplat-widget'); globalThis.place = holder.parentElement")
    page.run("holder.remove()")
    page.wait("view.player === null")
    page.run("place.append(holder)")
    page.wait(f"document.querySelectorAll('headsplat-avatar').length === 1 && {SHOWN}")


def test_the_example_shows_a_training_as_it_runs_and_an_interrupt_keeps_the_avatar(
    lab: tuple[Page, str], tmp_path: Path
) -> None:
    page, address = lab
    open_notebook(page, address.format("example.ipynb"))
    page.run(
        "globalThis.texts = new Set(); globalThis.elements = new Set(); setInterval(() => {"
        "const found = document.querySelector('.headsplat-status'); if (found) texts.add(found.textContent);"
        "for (const each of document.querySelectorAll('headsplat-avatar')) elements.add(each); }, 50)"
    )
    page.run(f"globalThis.isDone = false; void {RUN}.then(() => {{ isDone = true; }})")
    page.wait_for(lambda: page.run("[...texts].some((text) => text.startsWith('landmarks'))"), "a stage", LIMIT)
    page.wait_for(lambda: page.run("[...texts].some((text) => /^training: .* dB/.test(text))"), "PSNR", LIMIT)
    page.wait(SHOWN)
    save_screenshot(page, tmp_path / "training.png")
    page.wait("elements.size >= 2")  # a newer avatar in the place of the first
    page.run("panel.sessionContext.session.kernel.interrupt()")
    page.wait_for(lambda: page.run("isDone"), "the last cell", LIMIT)
    page.wait("[...document.querySelectorAll('headsplat-avatar')].filter((each) => each.player?.frame).length === 2")
    assert page.run("elements.size") >= 4  # two of the training, the trained one, the small one
    said = page.run("document.querySelector('.headsplat-status').textContent")
    assert said == "stopped early; resume=True continues the training"
    assert page.run("[...elements].filter((each) => each.player).length") == 2
    assert values(page, "w.error", "small.error", "w.progress") == ["", "", None]
    save_screenshot(page, tmp_path / "trained.png")
