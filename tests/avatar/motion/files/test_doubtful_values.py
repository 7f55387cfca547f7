"""Files that are read, but whose values look wrong: degrees, what is dropped, repeated rows, motions without motion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.motion.files.read import read_arrays
from avatar.motion.summary import MotionSummary
from avatar.types import LEFT_EYE, ROOT
from tests.avatar.motion.files.small import audio2face_json, live_link, live_link_row, named_json

STILL = "nothing moves in this motion: all frames are the same"


def _take(path: Path, angles: dict[str, float], look: float = 0.0) -> MotionArrays:
    """A take in which these angles swing to the given value and back."""
    rows = []
    for k in range(59):
        values = {name: most * float(np.sin(k / 10)) for name, most in angles.items()}
        rows.append(live_link_row(f"10:00:{2 * k // 60:02d}:{2 * k % 60:02d}.000", {"EyeLookInLeft": look, **values}))
    return read_arrays(live_link(path, rows))


def test_degrees_in_angle_columns_are_converted_with_a_note(tmp_path: Path) -> None:
    found = _take(tmp_path / "a.csv", {"HeadYaw": 14.3, "LeftEyeYaw": -8.0})
    assert found.joint_rot[:, ROOT, 1].max() == pytest.approx(np.radians(14.3), abs=1e-3)
    assert found.joint_rot[:, LEFT_EYE, 1].max() == pytest.approx(np.radians(8), abs=1e-3)
    assert any("HeadYaw reaches 14.3, which is no angle in radians" in note for note in found.notes)


def test_eyes_in_degrees_are_seen_where_the_head_does_not_move(tmp_path: Path) -> None:
    found = _take(tmp_path / "a.csv", {"RightEyePitch": 25.0}, look=0.1)
    assert any("RightEyePitch reaches 25" in note for note in found.notes)


def test_eyes_in_degrees_beside_a_head_in_radians_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"LeftEyeYaw reaches 20, as in degrees, but HeadYaw only 0.3, as in rad"):
        _take(tmp_path / "a.csv", {"HeadYaw": 0.3, "LeftEyeYaw": 20.0})
    found = _take(tmp_path / "b.csv", {"HeadYaw": 20.0, "LeftEyeYaw": 0.3}, look=0.1)  # the eye's angle is not read
    assert found.joint_rot[:, ROOT, 1].max() == pytest.approx(np.radians(20), abs=1e-3)


def test_a_wrong_angle_does_not_make_degrees(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    _take(path, {"HeadYaw": 0.3})
    lines = path.read_text().splitlines()
    place = lines[0].split(",").index("HeadYaw")
    lines[30] = ",".join("9.0" if k == place else cell for k, cell in enumerate(lines[30].split(",")))
    path.write_text("\n".join(lines))
    found = read_arrays(path)
    assert found.joint_rot[10, ROOT, 1] == pytest.approx(0.3 * np.sin(1))
    assert any("HeadYaw reaches 9 in 1 of 59 frames, which is no angle in radians" in note for note in found.notes)


def test_angles_that_may_be_radians_are_kept_with_a_note_where_no_head_turns_so_far(tmp_path: Path) -> None:
    far = _take(tmp_path / "a.csv", {"HeadPitch": 4.0})
    assert any("HeadPitch reaches 4 radians, 229 degrees" in note for note in far.notes)
    near = _take(tmp_path / "b.csv", {"HeadYaw": 1.4, "LeftEyePitch": 0.4})
    assert near.joint_rot[:, ROOT, 1].max() == pytest.approx(1.4, abs=0.01)
    assert not any("reaches" in note for note in near.notes)


def test_a_rotation_of_more_than_a_turn_in_json_is_noted(tmp_path: Path) -> None:
    frames = [{"weights": [k / 10], "rotation": [0.0, 5.0 * k, 0.0]} for k in range(4)]
    notes = read_arrays(named_json(tmp_path / "a.json", frames)).notes
    assert any("rotation reaches 15, more than half a turn in radians" in note for note in notes)


def test_joints_and_columns_that_audio2face_has_beside_weights_are_named(tmp_path: Path) -> None:
    joints = {"jaw": {"rotation": [[0, 0, 0]] * 3}}
    path = audio2face_json(tmp_path / "a.json", joints=joints, trackPath="voice.wav", numPoses=2)
    assert "dropped, only the weights are read: joints" in read_arrays(path).notes
    lines = [f"{k},{k / 30},{k / 40},{k / 10},{k / 20}" for k in range(4)]
    csv = tmp_path / "a.csv"
    csv.write_text("\n".join(["Unnamed: 0,timeCode,joints.jaw.x,blendShapes.JawOpen,emotions.joy", *lines]))
    assert "dropped, only the weights are read: joints.jaw.x, emotions.joy" in read_arrays(csv).notes


def test_every_second_row_repeated_is_noted(tmp_path: Path) -> None:
    frames = [{"weights": [(k // 2) / 30]} for k in range(60)]
    notes = read_arrays(named_json(tmp_path / "a.json", frames)).notes
    assert any("30 of 60 rows repeat the row before" in note for note in notes)
    for step, said in ((4 / 5, 12), (2 / 5, 36)):  # 24 fps in 30 and in 60
        raised = [{"weights": [int(k * step) / 60]} for k in range(60)]
        notes = read_arrays(named_json(tmp_path / "c.json", raised)).notes
        assert any(f"{said} of 60 rows repeat the row before" in note for note in notes)
    held = [{"weights": [min(k, 20) / 30]} for k in range(60)]
    assert not any("repeat" in note for note in read_arrays(named_json(tmp_path / "b.json", held)).notes)


def test_appended_takes_are_noted(tmp_path: Path) -> None:
    weights = [{"weights": [float(np.sin(k / 9))]} for k in range(30)]
    notes = read_arrays(named_json(tmp_path / "a.json", weights * 2)).notes
    assert any("rows 31 to 60 repeat rows 1 to 30" in note for note in notes)
    timed = [{"weights": [k / 60], "time": k % 30 / 30 + 0.01 * (k // 30)} for k in range(60)]
    notes = read_arrays(named_json(tmp_path / "b.json", timed)).notes
    assert any("the times go back in row 31 of 60, as where takes were appended" in note for note in notes)


def test_a_motion_in_which_nothing_moves_says_so_once(tmp_path: Path) -> None:
    path = named_json(tmp_path / "a.json", [{"weights": [0.3]}] * 40)
    found = read_arrays(path)
    assert found.notes.count(STILL) == 1 and STILL in MotionSummary.of(found, "a").to_text()
    content = json.loads(path.read_text())
    content["frames"][7]["weights"] = [0.31]
    path.write_text(json.dumps(content))
    assert STILL not in read_arrays(path).notes


@pytest.mark.parametrize("periods", [3, 4, 6, 8])
def test_a_motion_that_loops_is_not_a_take_appended_to_itself(periods: int, tmp_path: Path) -> None:
    wave = [{"weights": [round(0.5 + 0.5 * float(np.sin(2 * np.pi * k / 20)), 6)]} for k in range(20)]
    assert not any("repeat" in note for note in read_arrays(named_json(tmp_path / "a.json", wave * periods)).notes)
    sway = [{"weights": [0.2], "rotation": [0.0, frame["weights"][0], 0.0]} for frame in wave]
    assert not any("repeat" in note for note in read_arrays(named_json(tmp_path / "b.json", sway * periods)).notes)


@pytest.mark.parametrize("write", [live_link, audio2face_json, named_json])
def test_percent_are_converted_with_a_note_and_other_large_weights_noted(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    def written(path: Path, scale: float) -> MotionArrays:
        values = [scale * k / 60 for k in range(60)]
        if write is live_link:
            rows = [live_link_row(f"10:00:00:{k:02d}.000", {"JawOpen": value}) for k, value in enumerate(values)]
            return read_arrays(live_link(path, rows))
        if write is named_json:
            return read_arrays(named_json(path, [{"weights": [value]} for value in values]))
        return read_arrays(audio2face_json(path, numFrames=60, weightMat=[[value, 0.0] for value in values]))

    for scale, expected, words in (
        (1.0, 1.0, None),
        (4.0, 4.0, None),
        (8.0, 0.08, "jawOpen reaches 7.867: the weights are read as percent, and divided by 100"),
        (100.0, 1.0, "jawOpen reaches 98.33: the weights are read as percent, and divided by 100"),
        (255.0, 255.0, "jawOpen reaches 250.8, which is no weight: they run from 0 to 1"),
    ):
        found = written(tmp_path / "a", scale)
        assert found.weights[-1, found.names.index("jawOpen")] == pytest.approx(expected * 59 / 60, rel=1e-5)
        said = [note for note in found.notes if "reaches" in note]
        assert len(said) == (words is not None) and (words is None or said[0].startswith(words))


def test_one_wrong_weight_does_not_make_percent(tmp_path: Path) -> None:
    frames = [{"weights": [50.0 if k == 30 else k / 60]} for k in range(60)]
    found = read_arrays(named_json(tmp_path / "a.json", frames))
    assert found.weights[-1, 0] == pytest.approx(59 / 60)
    assert any("jawOpen reaches 50, which is no weight" in note for note in found.notes)
