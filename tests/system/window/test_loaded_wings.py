"""The window of a live source loads no wing (editing, performance, ...) before the user opens what needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.video import write_video

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
TIMEOUT = 120  # seconds
Results = Callable[[str], dict[str, Any]]
#: Runs the command of the arguments and prints the modules of the wings that are loaded then.
RUN = """
import sys
from avatar.cli import main
if __name__ == "__main__":
    code = main(sys.argv[1:])
    from tests.support.wings import loaded_wings
    print("loaded", loaded_wings())
    sys.exit(code)
"""


@pytest.fixture(scope="module")
def results(display: str, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results of the scenarios of `tests.support.wing_scenarios`."""
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("wings")
    save_avatar(folder / "me.avatar", tiny_avatar)
    command = [sys.executable, "-m", "tests.support.wing_scenarios", str(folder / "me.avatar"), str(folder / "out")]
    environment = {**os.environ, "DISPLAY": display}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]

    def read(name: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((folder / "out" / f"{name}.json").read_text())
        assert not result["error"], result["error"]
        return result

    return read


def wings(result: dict[str, Any]) -> set[str]:
    """The wings, and the packages of the performance, that were loaded."""
    return {".".join(name.split(".")[1:3]) for name in result["loaded"] if name.count(".") > 1}


def test_frames_of_a_live_source_and_its_panels_load_no_wing(results: Results) -> None:
    assert results("live")["source"] == "smile"
    assert results("live")["loaded"] == results("panels")["loaded"] == []


def test_the_edit_panel_loads_the_editing_and_works(results: Results) -> None:
    result = results("edit")
    assert {name.split(".")[1] for name in result["loaded"]} == {"editing"}
    assert result["changed"] and result["layers"] > 0


def test_presets_and_texts_load_their_tables_and_work(results: Results) -> None:
    result = results("face")
    assert {"performance.mixing", "performance.facs"} <= wings(result) and "performance.readout" not in wings(result)
    assert result["preset"]["mouthSmileLeft"] == 0.6 and result["text"] == {"eyeBlinkLeft": 1.0}


def test_the_reading_panel_loads_the_reader_and_works(results: Results) -> None:
    result = results("reading")
    assert "performance.readout" in wings(result) and result["label"]


def test_the_command_drives_an_avatar_by_a_video_without_a_wing(
    display: str, tiny_avatar: Avatar, tmp_path: Path
) -> None:
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    write_video(tmp_path / "film.mp4", [np.full((64, 96, 3), level, np.uint8) for level in range(0, 240, 4)], 25.0)
    words = ["live", "me.avatar", "--webcam", "film.mp4", "--size", "64", "--seconds", "1"]
    environment = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT)}
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, "run.py", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert "loaded []" in done.stdout and "driven by film.mp4" in done.stdout
