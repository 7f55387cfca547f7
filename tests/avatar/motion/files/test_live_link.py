"""Live Link Face CSV, line by line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.motion import read_motion, write_motion
from avatar.motion.files.angles import EYE_SIGNS, HEAD_SIGNS, angles_to_rotvec, rotvec_to_angles
from avatar.motion.files.gaze import _ROTATIONS
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT
from tests.avatar.motion.files.small import live_link, live_link_row


def test_columns_are_matched_by_name_whatever_their_order(tmp_path: Path) -> None:
    path = live_link(tmp_path / "a.csv", [live_link_row("01:00:00:00.000", {"JawRight": 0.25, "MouthLeft": 0.5})])
    lines = [line.split(",") for line in path.read_text().splitlines()]
    turned = "\n".join(",".join([*cells[:2], *cells[:1:-1]]) for cells in lines)
    (tmp_path / "b.csv").write_text(turned)
    for name in ("a.csv", "b.csv"):
        found = read_motion(tmp_path / name)
        weights = dict(zip(found.names, found.weights[0].tolist(), strict=True))
        assert (weights["jawRight"], weights["jawLeft"], weights["mouthLeft"], weights["mouthRight"]) == (
            0.25,
            0,
            0.5,
            0,
        )


def test_frames_of_a_timecode_are_sixtieths(tmp_path: Path) -> None:
    rows = [live_link_row(code) for code in ("10:00:00:30.500", "10:00:01:00.000", "10:01:00:59.940")]
    time = read_motion(live_link(tmp_path / "a.csv", rows)).time
    assert time.tolist() == pytest.approx([0, 29.5 / 60, 60 + (59.94 - 30.5) / 60])


def test_rows_are_sorted_and_rebased(tmp_path: Path) -> None:
    rows = [live_link_row(f"10:00:0{s}:00.000", {"JawOpen": s / 10}) for s in (2, 1, 3)]
    found = read_motion(live_link(tmp_path / "a.csv", rows))
    assert found.time.tolist() == [0, 1, 2]
    assert found.weights[:, found.names.index("jawOpen")].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert any("sorted" in note for note in found.notes)


def test_times_of_a_take_over_midnight_increase(tmp_path: Path) -> None:
    rows = [
        live_link_row(code) for code in ("23:59:59:00.000", "23:59:59:30.000", "00:00:00:00.000", "00:00:01:00.000")
    ]
    assert read_motion(live_link(tmp_path / "a.csv", rows)).time.tolist() == pytest.approx([0, 0.5, 1, 2])


def test_the_first_of_rows_with_one_time_is_kept(tmp_path: Path) -> None:
    rows = [live_link_row(f"10:00:0{s}:00.000", {"JawOpen": w}) for s, w in ((1, 0.1), (1, 0.2), (2, 0.3))]
    found = read_motion(live_link(tmp_path / "a.csv", rows))
    assert found.weights[:, found.names.index("jawOpen")].tolist() == pytest.approx([0.1, 0.3])
    assert any("1 row with the same time as the row before: dropped" in note for note in found.notes)


@pytest.mark.parametrize("short", [False, True])
def test_rows_without_a_face_repeat_the_last_pose(short: bool, tmp_path: Path) -> None:
    faces = [0, 61, 0, 0, 61]
    rows = [live_link_row(f"10:00:0{k}:00.000", {"JawOpen": k / 10, "HeadYaw": k / 10}, n) for k, n in enumerate(faces)]
    if short:
        rows = [row if n else f"10:00:0{k}:00.000,0" for k, (row, n) in enumerate(zip(rows, faces, strict=True))]
    found = read_motion(live_link(tmp_path / "a.csv", rows))
    repeated = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.4])
    assert torch.allclose(found.weights[:, found.names.index("jawOpen")], repeated)
    assert torch.allclose(found.joint_rot[:, ROOT, 1], repeated)
    assert found.confidence is not None and found.confidence.tolist() == [0, 1, 0, 0, 1]
    assert any("3 of 5 rows have no face" in note for note in found.notes)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = live_link(tmp_path / "a.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_motion(path)) == 3


def test_eye_rotations_are_not_applied_twice(tmp_path: Path) -> None:
    row = live_link_row("10:00:00:00.000", {"EyeLookOutLeft": 0.5, "LeftEyeYaw": -0.3, "RightEyeYaw": -0.3})
    found = read_motion(live_link(tmp_path / "a.csv", [row]))
    assert not found.joint_rot[:, [LEFT_EYE, RIGHT_EYE]].any()


def test_angles_rotate_the_eyes_where_all_weights_are_zero(tmp_path: Path) -> None:
    row = live_link_row("10:00:00:00.000", {"LeftEyeYaw": -0.3, "RightEyePitch": 0.2})
    found = read_motion(live_link(tmp_path / "a.csv", [row]))
    assert found.joint_rot[0, LEFT_EYE].tolist() == pytest.approx([0, 0.3, 0], abs=1e-6)
    assert found.joint_rot[0, RIGHT_EYE].tolist() == pytest.approx([0.2, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("angle", "turn"), [("HeadYaw", (0, 0.3, 0)), ("HeadPitch", (-0.3, 0, 0)), ("HeadRoll", (0, 0, 0.3))]
)
def test_positive_head_angles_turn_left_up_and_to_the_right_shoulder(
    angle: str, turn: tuple[float, ...], tmp_path: Path
) -> None:
    found = read_motion(live_link(tmp_path / "a.csv", [live_link_row("10:00:00:00.000", {angle: 0.3})]))
    assert found.joint_rot[0, ROOT].tolist() == pytest.approx(turn, abs=1e-6)


@pytest.mark.parametrize("signs", [HEAD_SIGNS, EYE_SIGNS])
def test_conversions_of_angles_are_inverse(signs: np.ndarray) -> None:
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 3))
    assert np.allclose(rotvec_to_angles(angles_to_rotvec(angles, signs), signs), angles, atol=1e-9)


def test_gaze_and_jaw_degrees_are_those_of_the_head() -> None:
    head = load_head()
    for joint, axis, more, less, up, down in _ROTATIONS:
        for name, degrees in ((more, up), (less, -down)):
            if name is not None:
                turn = torch.rad2deg(head.joint_dirs[joint, axis, head.expression_index(name)])
                assert float(turn) == pytest.approx(degrees, abs=0.01)


LINE = "10:00:00:00.000,61," + ",".join(["0.0"] * 61)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LINE[:-40], "line 3: 53 columns, the header has 63"),
        (LINE + ",1", "line 3: 64 columns"),
        (LINE.replace(",0.0", ",nan", 1), "line 3: EyeBlinkLeft: 'nan' is not a valid number"),
        (LINE.replace(",0.0", ",inf", 1), "line 3: EyeBlinkLeft: 'inf'"),
        (LINE.replace(",0.0", ",1e30", 1), "line 3: EyeBlinkLeft: '1e30'"),
        (LINE.replace(",0.0", ",x", 1), "line 3: EyeBlinkLeft: 'x'"),
        (LINE.replace("10:00:00:00.000", "10:00:00"), "line 3: '10:00:00' is not a timecode"),
        (LINE.replace("10:00:00:00.000", "10:00:00:60.000"), "line 3: '10:00:00:60.000' is not a timecode"),
        (LINE.replace("10:00:00:00.000", "24:00:00:00.000"), "line 3: '24:00:00:00.000' is not a timecode"),
        (LINE.replace(",61,", ",-1,"), "line 3: BlendShapeCount is '-1'"),
        (LINE.replace(",61,", ",0,")[:-4], "line 3: 62 columns"),
        ("\xff" + LINE, "line 3: not text in UTF-8"),
    ],
)
def test_a_bad_line_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    path = live_link(tmp_path / "take.csv", [live_link_row("09:00:00:00.000")])
    path.write_bytes(path.read_bytes() + text.encode("latin-1") + b"\n")
    with pytest.raises(HeadsplatError) as error:
        read_motion(path)
    assert str(error.value).startswith(f"{path}: {sentence}")


def test_a_take_without_a_face_or_a_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no row has a face"):
        read_motion(live_link(tmp_path / "a.csv", [live_link_row("10:00:00:00.000", count=0)]))
    path = live_link(tmp_path / "b.csv")
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(HeadsplatError, match=r"b\.csv: has no frames"):
        read_motion(path)


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = live_link(tmp_path / "a.csv")
    path.write_text(path.read_text().replace("JawLeft", "JawRight", 1))
    with pytest.raises(HeadsplatError, match="line 1: jawRight is there twice"):
        read_motion(path)


def test_other_columns_are_kept_and_missing_ones_listed(tmp_path: Path) -> None:
    path = live_link(tmp_path / "a.csv")
    path.write_text(path.read_text().replace("TongueOut", "Wink", 1).replace("JawOpen", "_neutral", 1))
    found = read_motion(path)
    assert "Wink" in found.names and "_neutral" not in found.names
    assert any("not ARKit's and are kept unchanged: Wink" in note for note in found.notes)
    assert any("not in the file: jawOpen, tongueOut" in note for note in found.notes)
    assert any("_neutral is dropped" in note for note in found.notes)


def test_a_gaze_that_angles_and_weights_share_needs_no_note(tmp_path: Path) -> None:
    """As in every file that headsplat writes."""
    weights = torch.zeros(20, 52)
    weights[:, ARKIT_52.index("eyeLookInLeft")] = torch.linspace(0, 1, 20)
    motion = read_motion(live_link(tmp_path / "a.csv", [live_link_row(f"10:00:00:{k:02d}.5") for k in range(20)]))
    write_motion(tmp_path / "b.csv", replace(motion, names=ARKIT_52, weights=weights))
    assert not any("gaze" in note for note in read_motion(tmp_path / "b.csv").notes)


def test_dropped_timecode_and_gaze_are_noted(tmp_path: Path) -> None:
    notes = read_motion(
        live_link(tmp_path / "a.csv", [live_link_row("13:13:04:31.652", {"EyeLookOutLeft": 0.5, "LeftEyeYaw": 0.1})])
    ).notes
    assert "the take starts at timecode 13:13:04:31.652; its times are relative to that" in notes
    assert any("eye angles differ from it by up to 19.7 degrees and are ignored" in note for note in notes)
