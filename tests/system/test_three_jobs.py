"""Train, render and drive live from Python, as the guide shows them, load nothing of the wings."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from tests.support.display import any_display
from tests.system.test_examples import GUIDE, JOBS, ROOT, blocks_of, fill
from tests.test_layout import WINGS

TINY = "steps = 4\ngaussians = 200\nbases = 2\nlayer = false\nrefine_at = 1.0\n"
LINES = 15
#: Prints the modules of the wings that are loaded.
REPORT = (
    "\nimport json, sys\n"
    f"wings = tuple('avatar.' + wing for wing in {WINGS!r})\n"
    "print('WINGS', json.dumps(sorted(name for name in sys.modules if name.startswith(wings))))\n"
)


@pytest.fixture(scope="module")
def folder(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    fill(folder, tiny, tiny_avatar)
    (folder / "tiny.toml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    with any_display() as name:
        yield name


def blocks() -> list[str]:
    """The blocks of the three jobs."""
    return blocks_of(GUIDE)[:JOBS]


def wings_of(code: str, folder: Path, screen: str | None = None) -> list[str]:
    """Run `code` in a process of its own; the modules of wings that it has loaded."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if screen is not None:
        environment["DISPLAY"] = screen
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (line,) = re.findall(r"^WINGS (.*)$", done.stdout, re.MULTILINE)
    loaded: list[str] = json.loads(line)
    return loaded


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def replaced(block: str, *pairs: tuple[str, str]) -> str:
    for text, other in pairs:
        assert text in block
        block = block.replace(text, other)
    return block


def test_each_job_fits_in_fifteen_lines() -> None:
    assert [re.search(r"jobs\.(train|render|live)\(", block)[1] for block in blocks()] == ["train", "render", "live"]  # type: ignore[index]
    assert all(len(block.splitlines()) <= LINES for block in blocks())


def test_train_loads_no_wing(folder: Path) -> None:
    settings = ('preset="fast", size=512, max_seconds=300', 'config="tiny.toml", size=64')
    assert wings_of(replaced(blocks()[0], ('"selfie.mp4"', '"me.capture"'), settings), folder) == []
    assert (folder / "trained.avatar").is_file()


def test_render_loads_no_wing(folder: Path) -> None:
    assert wings_of(replaced(blocks()[1], ('"512"', '"64"')), folder) == []
    assert (folder / "orbit.mp4").is_file()


def test_live_loads_no_wing(folder: Path, screen: str) -> None:
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    source = ('webcam="0"', f'listen="vmc:{free_port()}"')
    assert wings_of(replaced(blocks()[2], source, ("seconds=60", "seconds=1")), folder, screen) == []
    assert json.loads((folder / "run.json").read_text())["driven_by"] == "VMC"


def test_the_page_and_the_camera_load_no_wing(folder: Path) -> None:
    pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")
    page = replaced(
        blocks()[2],
        ("jobs.live(", "jobs.live_page("),
        ('webcam="0"', f'listen="vmc:{free_port()}"'),
        ("seconds=60", "seconds=1"),
        ('json="run.json"', 'json="page.json"'),
    )
    assert (
        wings_of(page + "\nimport capture.live.face_source, capture.live.face_tracker, capture.live.open\n", folder)
        == []
    )


def test_a_wing_that_is_asked_for_is_found(folder: Path) -> None:
    assert wings_of("import avatar.editing.blend", folder)[0] == "avatar.editing"
