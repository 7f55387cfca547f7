"""The window of `headsplat film` in each of its states, as on the screen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
STATES = ("opening", "rest", "turning", "paused", "aloud", "dark", "given_up", "finished", "training", "ready")
#: Color of the camera's image at its left half, RGB; the other half is black.
LEFT = (20, 60, 200)
_GREEN, _AMBER, _RED = (107, 204, 133), (255, 186, 84), (237, 76, 69)


@pytest.fixture(scope="module")
def screens(display: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The window in each state [H,W,3] RGB."""
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("film")
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :160] = LEFT
    cv2.imwrite(str(folder / "camera.png"), image[..., ::-1])
    command = [sys.executable, "-m", "tests.support.film_screens", str(folder), str(folder / "camera.png")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: cv2.imread(str(folder / f"{name}.png"))[..., ::-1] for name in STATES}


def count(screen: np.ndarray, color: tuple[int, int, int], tolerance: int = 12) -> int:
    """Pixels of a color."""
    return int((np.abs(screen.astype(int) - color).max(-1) < tolerance).sum())


def test_the_image_is_mirrored(screens: dict[str, np.ndarray]) -> None:
    columns = np.flatnonzero((np.abs(screens["rest"].astype(int) - LEFT).max(-1) < 12).any(0))
    rows = np.flatnonzero((np.abs(screens["rest"].astype(int) - LEFT).max(-1) < 12).any(1))
    black = (screens["rest"][rows.mean().astype(int), : columns.min()] < 5).all(-1)
    assert columns.min() > black.sum() > 100


def test_every_state_with_a_camera_shows_its_image(screens: dict[str, np.ndarray]) -> None:
    assert {name for name in STATES if count(screens[name], LEFT) > 10_000} == set(STATES) - {"opening", "dark"}


def test_the_mark_of_the_recording_is_there_while_frames_are_recorded(screens: dict[str, np.ndarray]) -> None:
    def red(name: str) -> int:
        pixels = screens[name].astype(int)
        return int(((pixels[..., 0] > 120) & (pixels[..., 1] < 100) & (pixels[..., 2] < 100)).sum())

    recorded = {name for name in STATES if red(name) > 40}
    assert recorded == {"rest", "turning", "aloud", "dark", "given_up"}


def test_ring_and_list_fill(screens: dict[str, np.ndarray]) -> None:
    panel = {name: count(screens[name][:, 900:], _GREEN) for name in ("rest", "turning", "finished")}
    assert panel["rest"] == 0 < panel["turning"] < 0.7 * panel["finished"]


def test_a_warning_is_amber(screens: dict[str, np.ndarray]) -> None:
    foot = {name: count(screens[name][600:680, :600], _AMBER) for name in ("turning", "dark")}
    assert foot["turning"] == 0 and foot["dark"] > 100


def test_the_progress_grows(screens: dict[str, np.ndarray]) -> None:
    bars = [count(screens[name][700:730], _GREEN) for name in ("rest", "turning", "finished")]
    assert bars == sorted(bars) and bars[2] > 1.5 * bars[1] > 3 * bars[0]
