"""The window itself, driven by imgui's test engine: one plays all acts of tests/support/acts.py, a test reads one."""

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

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.training.config import TrainConfig
from avatar.training.fit import fit

ROOT = Path(__file__).parents[3]
FRAMES = 40
#: Seconds that the window may take for all acts: a few when it works, and a crash or a hang ends here.
PATIENCE = 300
Seen = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def window(display: str, tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what was seen in the window."""
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("window")
    save_avatar(folder / "first.avatar", tiny_avatar)
    save_avatar(folder / "second.avatar", fit(tiny, load_head(), TrainConfig(size=64, steps=2, gaussians=400)).avatar)
    (folder / "damaged.avatar").write_bytes(b"no avatar")
    opening = np.linspace(0, 1, FRAMES)
    rows = [f"00:00:{k // 60:02}:{k % 60:02}.000,1,{value:.4f}" for k, value in enumerate(opening)]
    (folder / "motion.csv").write_text("\n".join(["Timecode,BlendshapeCount,JawOpen", *rows]) + "\n")
    files = [str(folder / name) for name in ("first.avatar", "motion.csv", "second.avatar", "damaged.avatar", "seen")]
    command = [sys.executable, "-m", "tests.support.acts", *files]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"the window hangs:\n{_words(error.stdout)}\n{_words(error.stderr)}", pytrace=False)
    (folder / "log").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        pytest.fail(f"the window ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}", pytrace=False)
    return folder


def _words(output: bytes | str | None) -> str:
    return (output.decode(errors="replace") if isinstance(output, bytes) else output or "")[-2000:]


@pytest.fixture
def seen(window: Path) -> Seen:
    """What an act returned; fails where the act did."""

    def read(act: str) -> dict[str, Any]:
        path = window / "seen" / f"{act}.json"
        log = (window / "log").read_text()[-4000:]
        if not path.is_file():
            pytest.fail(f"{act} was not played; the window's output:\n{log}", pytrace=False)
        facts = json.loads(path.read_text())
        if facts["error"]:
            pytest.fail(f"{act}: {facts['error']}\n{log}", pytrace=False)
        return facts

    return read


def test_the_picture_on_the_screen_is_the_engines_where_it_is_not_scaled(seen: Seen) -> None:
    assert seen("load")["exact"] <= 1


def test_the_picture_is_the_renderers_for_the_same_parameters(seen: Seen) -> None:
    assert seen("load")["drawn"] == 0


def test_the_picture_shows_something(seen: Seen) -> None:
    assert seen("load")["spread"] > 10


def test_a_scaled_picture_is_close_to_the_engines(seen: Seen) -> None:
    assert seen("load")["scaled"] < 3


def test_the_slider_of_the_camera_turns_the_picture(seen: Seen) -> None:
    facts = seen("turn")
    assert facts["yaw"] == 40
    assert facts["change"] > 2


def test_the_field_of_view_is_what_the_slider_says(seen: Seen) -> None:
    assert seen("field_of_view")["degrees"] == pytest.approx(60, abs=0.5)


def test_another_field_of_view_keeps_the_size_of_the_head(seen: Seen) -> None:
    before, after = seen("field_of_view")["covered"]
    assert after == pytest.approx(before, rel=0.2)


def test_the_resolution_is_chosen_from_a_list(seen: Seen) -> None:
    assert seen("resolution")["height"] == 384


def test_the_background_has_the_color_chosen(seen: Seen) -> None:
    assert seen("background")["corner"] == [0, 255, 255]


def test_each_kind_of_picture_differs_from_the_colors(seen: Seen) -> None:
    changes = seen("kinds")["changes"]
    assert set(changes) == {"alpha", "depth", "mesh", "binding"}
    assert min(changes.values()) > 1


def test_smaller_splats_change_the_picture(seen: Seen) -> None:
    assert seen("splats")["small"] > 1


def test_reset_of_the_look_brings_the_picture_back(seen: Seen) -> None:
    assert seen("splats")["reset"] == 0


def test_a_drag_across_the_picture_turns_the_camera_half_round(seen: Seen) -> None:
    facts = seen("drag")
    degrees = 180 / facts["high"]
    assert facts["orbit"]["yaw"] == pytest.approx(-60 * degrees, rel=0.02)
    assert facts["orbit"]["pitch"] == pytest.approx(30 * degrees, rel=0.02)


def test_a_drag_changes_the_picture(seen: Seen) -> None:
    assert seen("drag")["change"] > 2


def test_the_right_button_moves_the_head_with_the_mouse(seen: Seen) -> None:
    assert seen("pan")["right"] == pytest.approx(50, rel=0.25)


def test_the_wheel_comes_nearer(seen: Seen) -> None:
    facts = seen("wheel")
    assert facts["distance"] == pytest.approx(0.9**3)
    assert facts["change"] > 2


def test_two_clicks_go_back_to_the_front(seen: Seen) -> None:
    assert seen("wheel")["restored"] == 0


def test_the_home_key_looks_from_the_front(seen: Seen) -> None:
    assert seen("home")["pitch"] == 0


def test_a_slider_of_the_face_takes_its_twin_along(seen: Seen) -> None:
    assert seen("face")["weights"] == {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}


def test_a_slider_of_the_face_changes_the_picture(seen: Seen) -> None:
    assert seen("face")["change"] > 0.1


def test_reset_of_the_sliders_brings_the_resting_face_back(seen: Seen) -> None:
    assert seen("face")["reset"] == 0


def test_a_preset_sets_its_weights_and_the_picture(seen: Seen) -> None:
    facts = seen("preset")
    assert facts["set"]
    assert facts["change"] > 0.1


def test_the_search_leaves_the_sliders_that_match(seen: Seen) -> None:
    facts = seen("search")
    assert (facts["search"], facts["blink"], facts["jaw"]) == ("blink", True, False)


def test_the_picture_becomes_that_of_the_source_chosen(seen: Seen) -> None:
    facts = seen("source")
    assert facts["shown"]
    assert facts["change"] > 0.1


def test_the_button_calibrates_a_live_source(seen: Seen) -> None:
    assert seen("source")["calibrations"] == 1


def test_a_source_that_cannot_begin_leaves_the_one_before(seen: Seen) -> None:
    assert seen("missing_source")["driving"] == "sliders"


def test_a_source_that_cannot_begin_says_why_on_the_screen(seen: Seen) -> None:
    facts = seen("missing_source")
    assert facts["message"] == "camera 7: it cannot be opened; is it plugged in?"
    assert facts["red"] > 50


def test_the_screenshot_is_the_picture(seen: Seen) -> None:
    assert seen("screenshot")["difference"] == 0


def test_the_screenshot_is_named_in_the_status(seen: Seen) -> None:
    facts = seen("screenshot")
    assert facts["file"] in facts["message"]


def test_a_saved_view_that_is_opened_again_gives_the_same_picture(seen: Seen) -> None:
    facts = seen("saved_view")
    assert facts["moved"] > 2
    assert facts["opened"] == 0


def test_a_saved_view_is_taken_off_the_list(seen: Seen) -> None:
    assert seen("saved_view")["left"] == 0


def test_the_window_counts_the_frames_it_draws(seen: Seen) -> None:
    facts = seen("frames")
    assert facts["counted"] == facts["drawn"]


def test_a_motion_that_is_dropped_plays(seen: Seen) -> None:
    facts = seen("drop_motion")
    assert facts["playing"]
    assert (facts["name"], facts["frames"]) == ("motion.csv", FRAMES)


def test_a_click_into_the_scrub_bar_shows_exactly_that_frame(seen: Seen) -> None:
    facts = seen("scrub")
    assert facts["frame"] == pytest.approx(FRAMES / 2, abs=2)
    assert facts["change"] > 0.1
    assert facts["drawn"] == 0


def test_scrubbing_does_not_begin_to_play(seen: Seen) -> None:
    assert not seen("scrub")["playing"]


def test_the_space_key_plays_and_holds(seen: Seen) -> None:
    facts = seen("space")
    assert (facts["playing"], facts["held"]) == (True, True)


def test_a_damaged_file_gives_a_sentence_on_the_screen(seen: Seen) -> None:
    facts = seen("drop_damaged")
    assert facts["message"].endswith("damaged.avatar: not an avatar file, or a damaged one; train or copy it again")
    assert facts["red"] > 50


def test_a_damaged_file_leaves_the_picture(seen: Seen) -> None:
    assert seen("drop_damaged")["difference"] == 0


def test_an_avatar_that_is_dropped_takes_the_place_of_the_first(seen: Seen) -> None:
    facts = seen("drop_avatar")
    assert facts["gaussians"] == 400
    assert facts["change"] > 0.5


def test_the_first_avatar_dropped_again_gives_the_first_picture(seen: Seen) -> None:
    assert seen("drop_avatar")["back"] == 0


def test_the_window_closes_when_it_is_asked_to(window: Path) -> None:
    assert (window / "seen" / "closed").read_text() == "asked"


def test_the_command_plays_a_motion_and_reports_when_the_window_has_closed(window: Path) -> None:
    assert (window / "seen" / "command").read_text() == "0"
    report = json.loads((window / "seen" / "report.json").read_text())
    assert (report["avatar"], report["driven_by"], report["size"][1]) == ("first.avatar", "motion file", 256)
    assert report["pictures"] > 1
