"""The window, controlled by imgui's test engine: a process runs the scenarios of tests/support, a test checks one."""

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

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
FRAMES = 40
#: Seconds that the window may take for all scenarios; ends a hang.
TIMEOUT = 300
Results = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def window(display: str, tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of all scenarios."""
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("window")
    save_avatar(folder / "first.avatar", tiny_avatar)
    save_avatar(folder / "second.avatar", fit(tiny, load_head(), TrainConfig(size=64, steps=2, gaussians=400)).avatar)
    (folder / "damaged.avatar").write_bytes(b"no avatar")
    opening = np.linspace(0, 1, FRAMES)
    rows = [f"00:00:{k // 60:02}:{k % 60:02}.000,1,{value:.4f}" for k, value in enumerate(opening)]
    (folder / "motion.csv").write_text("\n".join(["Timecode,BlendshapeCount,JawOpen", *rows]) + "\n")
    files = [
        str(folder / name) for name in ("first.avatar", "motion.csv", "second.avatar", "damaged.avatar", "results")
    ]
    command = [sys.executable, "-m", "tests.support.window_scenarios", *files]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"the window hangs:\n{_end_of(error.stdout)}\n{_end_of(error.stderr)}", pytrace=False)
    (folder / "log").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        pytest.fail(f"the window ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}", pytrace=False)
    return folder


def _end_of(output: bytes | str | None) -> str:
    return (output.decode(errors="replace") if isinstance(output, bytes) else output or "")[-2000:]


@pytest.fixture
def results(window: Path) -> Results:
    """The result of a scenario; fails where the scenario failed."""

    def read(name: str) -> dict[str, Any]:
        path = window / "results" / f"{name}.json"
        log = (window / "log").read_text()[-4000:]
        if not path.is_file():
            pytest.fail(f"{name} was not run; the window's output:\n{log}", pytrace=False)
        result = json.loads(path.read_text())
        if result["error"]:
            pytest.fail(f"{name}: {result['error']}\n{log}", pytrace=False)
        return result

    return read


def test_an_unscaled_image_is_on_the_screen_as_rendered(results: Results) -> None:
    assert results("load")["exact"] <= 1


def test_the_image_is_the_renderers_for_the_same_parameters(results: Results) -> None:
    assert results("load")["rendered"] == 0


def test_the_image_is_not_uniform(results: Results) -> None:
    assert results("load")["spread"] > 10


def test_a_scaled_image_is_close_to_the_rendered_one(results: Results) -> None:
    assert results("load")["scaled"] < 3


def test_the_yaw_slider_moves_the_camera(results: Results) -> None:
    result = results("yaw")
    assert result["yaw"] == 40
    assert result["change"] > 2


def test_the_field_of_view_is_that_of_the_slider(results: Results) -> None:
    assert results("field_of_view")["degrees"] == pytest.approx(60, abs=0.5)


def test_another_field_of_view_keeps_the_size_of_the_head(results: Results) -> None:
    before, after = results("field_of_view")["covered"]
    assert after == pytest.approx(before, rel=0.2)


def test_the_resolution_is_chosen_from_a_list(results: Results) -> None:
    assert results("resolution")["height"] == 384


def test_the_background_has_the_color_chosen(results: Results) -> None:
    assert results("background")["corner"] == [0, 255, 255]


def test_each_kind_of_image_differs_from_the_colors(results: Results) -> None:
    changes = results("kinds")["changes"]
    assert set(changes) == {"alpha", "depth", "mesh", "binding"}
    assert min(changes.values()) > 1


def test_smaller_splats_change_the_image(results: Results) -> None:
    assert results("splats")["small"] > 1


def test_reset_of_the_view_settings_restores_the_image(results: Results) -> None:
    assert results("splats")["reset"] == 0


def test_a_drag_across_the_image_orbits_by_half_a_turn(results: Results) -> None:
    result = results("drag")
    degrees = 180 / result["high"]
    assert result["orbit"]["yaw"] == pytest.approx(-60 * degrees, rel=0.02)
    assert result["orbit"]["pitch"] == pytest.approx(30 * degrees, rel=0.02)


def test_a_drag_changes_the_image(results: Results) -> None:
    assert results("drag")["change"] > 2


def test_the_right_button_moves_the_head_with_the_mouse(results: Results) -> None:
    assert results("pan")["right"] == pytest.approx(50, rel=0.25)


def test_the_wheel_changes_the_distance(results: Results) -> None:
    result = results("wheel")
    assert result["distance"] == pytest.approx(0.9**3)
    assert result["change"] > 2


def test_a_double_click_restores_the_front_view(results: Results) -> None:
    assert results("wheel")["restored"] == 0


def test_the_home_key_restores_the_front_view(results: Results) -> None:
    assert results("home")["pitch"] == 0


def test_a_face_slider_moves_its_counterpart(results: Results) -> None:
    assert results("face")["weights"] == {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}


def test_a_face_slider_changes_the_image(results: Results) -> None:
    assert results("face")["change"] > 0.1


def test_reset_of_the_sliders_restores_the_resting_face(results: Results) -> None:
    assert results("face")["reset"] == 0


def test_a_preset_sets_its_weights_and_changes_the_image(results: Results) -> None:
    result = results("preset")
    assert result["set"]
    assert result["change"] > 0.1


def test_a_face_is_saved_by_a_name_and_shown_by_its_button_and_its_key(results: Results) -> None:
    result = results("own_preset")
    assert result["saved"] == ["my grin"] and result["message"].endswith("first.presets.json: my grin saved, key 1")
    assert result["change"] > 0.1
    assert result["button"] < 0.02 and result["key"] < 0.02
    assert result["left"] == 0


def test_the_search_shows_matching_sliders_only(results: Results) -> None:
    result = results("search")
    assert (result["search"], result["blink"], result["jaw"]) == ("blink", True, False)


def test_the_image_becomes_that_of_the_selected_source(results: Results) -> None:
    result = results("source")
    assert result["shown"]
    assert result["change"] > 0.1


def test_the_button_calibrates_a_live_source(results: Results) -> None:
    assert results("source")["calibrations"] == 1


def test_a_source_that_cannot_start_keeps_the_one_before(results: Results) -> None:
    assert results("missing_source")["source"] == "sliders"


def test_the_error_of_a_source_that_cannot_start_is_on_the_screen(results: Results) -> None:
    result = results("missing_source")
    assert result["message"] == "camera 7: it cannot be opened; is it plugged in?"
    assert result["red"] > 50


def test_the_snapshot_is_the_image(results: Results) -> None:
    assert results("snapshot")["difference"] == 0


def test_the_snapshots_path_is_in_the_status(results: Results) -> None:
    result = results("snapshot")
    assert result["file"] in result["message"]


def test_a_saved_view_that_is_opened_gives_the_same_image(results: Results) -> None:
    result = results("saved_view")
    assert result["moved"] > 2
    assert result["opened"] == 0


def test_a_saved_view_is_removed_from_the_list(results: Results) -> None:
    assert results("saved_view")["remaining"] == 0


def test_the_window_counts_its_frames(results: Results) -> None:
    result = results("frames")
    assert result["counted"] == result["frames"]


def test_a_motion_that_is_dropped_plays(results: Results) -> None:
    result = results("drop_motion")
    assert result["playing"]
    assert (result["name"], result["frames"]) == ("motion.csv", FRAMES)


def test_a_click_on_the_scrub_bar_shows_exactly_that_frame(results: Results) -> None:
    result = results("scrub")
    assert result["frame"] == pytest.approx(FRAMES / 2, abs=2)
    assert result["change"] > 0.1
    assert result["rendered"] == 0


def test_scrubbing_does_not_start_playback(results: Results) -> None:
    assert not results("scrub")["playing"]


def test_the_space_key_plays_and_pauses(results: Results) -> None:
    result = results("space")
    assert (result["playing"], result["paused"]) == (True, True)


def test_the_error_of_a_damaged_file_is_on_the_screen(results: Results) -> None:
    result = results("drop_damaged")
    assert result["message"].endswith("damaged.avatar: not an avatar file, or a damaged one; train or copy it again")
    assert result["red"] > 50


def test_a_damaged_file_does_not_change_the_image(results: Results) -> None:
    assert results("drop_damaged")["difference"] == 0


def test_an_avatar_that_is_dropped_replaces_the_first(results: Results) -> None:
    result = results("drop_avatar")
    assert result["gaussians"] == 400
    assert result["change"] > 0.5


def test_the_first_avatar_dropped_again_restores_its_image(results: Results) -> None:
    assert results("drop_avatar")["back"] == 0


def test_the_mouse_paints_and_keys_undo_and_redo(results: Results) -> None:
    result = results("paint")
    assert result["painted"] > 0.05 and result["gaussians"] > 5
    assert result["undone"] == 0 and result["redone"] == 0
    assert not result["orbited"] and not result["active"]


def test_a_check_box_hides_a_layer_until_undo(results: Results) -> None:
    result = results("layers")
    assert result["hidden"] == ["clothes"] and result["fewer"] > 5
    assert result["same"] == 0


def test_two_clicks_measure_and_a_drag_orbits(results: Results) -> None:
    result = results("measure")
    assert result["active"] and 5 < result["straight"] < 100 and "mm along the surface" in result["text"]
    assert result["orbited"] and result["followed"]
    assert result["same"] == pytest.approx(result["straight"], rel=1e-3)


def test_enter_sets_the_face_that_a_text_describes(results: Results) -> None:
    result = results("describe")
    assert result["weights"] == {"eyeBlinkLeft": 1.0} and result["change"] > 0.05
    assert result["note"] == "understood: wink left 1"


def test_the_error_of_a_text_is_below_it_and_the_face_stays(results: Results) -> None:
    result = results("describe")
    assert result["failed"] and "the word" in result["error note"]
    assert result["after"] == result["weights"]


def test_a_drag_on_the_pad_sets_the_face(results: Results) -> None:
    result = results("affect")
    assert result["dragged"][0] > 0.3 and result["dragged"][1] > 0.1
    assert result["smile"] > 0.2 and result["change"] > 0.05


def test_arrow_keys_move_the_point_of_the_pad(results: Results) -> None:
    result = results("affect")
    assert result["key"] == pytest.approx([result["dragged"][0] - 0.05, result["dragged"][1]], abs=0.002)


def test_a_double_click_on_the_pad_restores_the_resting_face(results: Results) -> None:
    result = results("affect")
    assert result["weights"] == {} and result["reset"] == 0


def test_a_slider_of_an_action_unit_moves_those_of_the_expressions(results: Results) -> None:
    result = results("units")
    assert result["weights"] == {"browDownLeft": 0.7, "browDownRight": 0.7} and result["change"] > 0.05


def test_the_search_shows_matching_action_units_only(results: Results) -> None:
    assert (results("units")["lowerer"], results("units")["puller"]) == (True, False)


def test_the_reading_panel_is_hidden_initially_and_reads_only_while_it_is_visible(results: Results) -> None:
    result = results("reading")
    assert (result["before"], result["visible"], result["hidden"]) == (False, True, False)
    assert (result["label"], result["kept"]) == ("surprise", "surprise")


def test_the_window_closes_by_the_close_action(window: Path) -> None:
    assert (window / "results" / "closed").read_text() == "by action"


def test_the_command_plays_a_motion_and_reports_when_the_window_has_closed(window: Path) -> None:
    assert (window / "results" / "command").read_text() == "0"
    report = json.loads((window / "results" / "report.json").read_text())
    assert (report["avatar"], report["driven_by"], report["size"][1]) == ("first.avatar", "motion file", 256)
    assert report["pictures"] > 1
