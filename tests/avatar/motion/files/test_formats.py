"""Audio2Face, named JSON and FLAME parameters, and how each is recognized."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion import read_motion
from avatar.motion.files import text
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams
from tests.avatar.motion.files.small import (
    FILES,
    audio2face_csv,
    audio2face_json,
    flame_parts,
    frame,
    live_link,
    named_json,
    pair,
    stacked,
    vhap,
)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".npy", ".frame"))])
def test_a_file_is_known_by_its_content_not_its_name(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    found = read_motion(path.rename(tmp_path / "unnamed"))
    assert len(found) >= 3


def test_audio2face_names_are_mapped_and_others_kept(tmp_path: Path) -> None:
    found = read_motion(audio2face_csv(tmp_path / "a.csv"))
    assert found.names == ("jawOpen", "eyeBlinkLeft", "TongueTipUp") and found.space == "arkit52"
    assert found.time.tolist() == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-6)


def test_audio2face_json_has_its_own_rate(tmp_path: Path) -> None:
    found = read_motion(audio2face_json(tmp_path / "a.json"), fps=24)
    assert found.time.tolist() == pytest.approx([0, 1 / 60, 2 / 60])
    assert any("the given 24 fps are not used" in note for note in found.notes)


def test_frames_without_times_have_the_given_rate_or_30(tmp_path: Path) -> None:
    path = named_json(tmp_path / "a.json", [{"weights": [0.5]}] * 3)
    assert read_motion(path).rate == pytest.approx(30) and read_motion(path, fps=25).rate == pytest.approx(25)


def test_mediapipes_neutral_is_dropped(tmp_path: Path) -> None:
    frames = [{"weights": [0.9, 0.5]}]
    found = read_motion(named_json(tmp_path / "a.json", frames, ["_neutral", "jawOpen"]))
    assert found.names == ("jawOpen",) and found.weights.tolist() == [[0.5]]


def test_a_json_of_flame_coefficients_is_flame(tmp_path: Path) -> None:
    found = read_motion(named_json(tmp_path / "a.json", [{"weights": [-2.0, 1.0]}], ["expr0", "expr1"]))
    assert found.space == "flame" and found.weights.tolist() == [[-2.0, 1.0]]


def test_three_numbers_of_rotation_rotate_the_head(tmp_path: Path) -> None:
    found = read_motion(named_json(tmp_path / "a.json", [{"weights": [0.5], "rotation": [0.1, 0.2, 0.3]}]))
    assert found.joint_rot[0, ROOT].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("at", ["", "flame_param"])
def test_vhap_is_read_from_its_folder_or_the_parent(at: str, tmp_path: Path) -> None:
    found = read_motion(vhap(tmp_path / "v", (3, 4, 7)) / at, fps=10)
    parts = flame_parts(1)
    assert found.space == "flame" and found.names[:2] == ("expr0", "expr1") and len(found.names) == 100
    assert found.time.tolist() == pytest.approx([0, 0.1, 0.4])
    assert torch.equal(found.weights[0], torch.from_numpy(parts["expr"][0]))
    for joint, name in ((ROOT, "rotation"), (NECK, "neck_pose"), (JAW, "jaw_pose")):
        assert torch.equal(found.joint_rot[0, joint], torch.from_numpy(parts[name][0]))
    assert torch.equal(found.joint_rot[0, LEFT_EYE:].flatten(), torch.from_numpy(parts["eyes_pose"][0]))
    assert torch.equal(found.translation[0], torch.from_numpy(parts["translation"][0]))
    notes = " ".join(found.notes)
    assert "FLAME 2023" in notes and "shape, static_offset" in notes and "2 frame numbers are missing" in notes


def test_missing_stacked_parameters_are_zero(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", expr=np.ones((4, 50), np.float32), jaw_pose=np.ones((1, 3)))
    found = read_motion(tmp_path / "a.npz")
    assert (
        len(found) == 4
        and torch.equal(found.joint_rot[:, JAW], torch.ones(4, 3))
        and not found.joint_rot[:, ROOT].any()
    )
    assert any("no rotation, neck_pose, eyes_pose, translation: set to 0" in note for note in found.notes)


def test_metrical_trackers_rotations_lids_and_moving_camera(tmp_path: Path) -> None:
    turn = Rotation.from_rotvec([0.4, 0.1, 0.0])
    six = turn.as_matrix()[:2].reshape(1, 6).astype(np.float32)
    for number in (5, 6):
        frame(tmp_path / "checkpoint" / f"{number:05d}.frame", jaw=torch.from_numpy(six))
    found = read_motion(tmp_path)
    assert found.names[-2:] == ("eyelidLeft", "eyelidRight") and found.weights[0, -2:].tolist() == [0.25, 0.75]
    assert found.joint_rot[0, JAW].tolist() == pytest.approx(turn.as_rotvec(), abs=1e-5)
    assert not found.joint_rot[:, [ROOT, RIGHT_EYE]].any() and found.rate == pytest.approx(25)
    assert found.translation[0].tolist() == pytest.approx([0, 0, -1], abs=1e-6)


def test_missing_frames_of_metrical_tracker_are_a_gap_with_a_note(tmp_path: Path) -> None:
    for number in (3, 4, 7):
        frame(tmp_path / f"{number:05d}.frame")
    found = read_motion(tmp_path)
    assert found.time.tolist() == pytest.approx([0, 1 / 25, 4 / 25])
    assert any("2 frame numbers are missing between 3 and 7: a gap in time" in note for note in found.notes)


def test_metrical_trackers_head_rotates_about_its_root_in_camera_space(tmp_path: Path) -> None:
    """A vertex has the position of the file's camera space, on a head whose root joint is FLAME's."""
    from avatar.head import load_head
    from avatar.motion.files.flame import ROOT_JOINT
    from avatar.motion.files.flame_layouts import FACING

    head, turn = load_head(), Rotation.from_rotvec([0.1, 0.5, 0.2]).as_matrix()
    path = frame(tmp_path / "00000.frame")
    content = torch.load(path, weights_only=False)
    content["opencv"].update(R=(FACING @ turn)[None], t=np.array([[0.1, -0.2, 1.5]]))
    torch.save(content, path)
    found = read_motion(path)
    params = HeadParams(
        torch.zeros(head.shapedirs.shape[2]),
        torch.zeros(1, len(head.expression_names)),
        found.joint_rot,
        found.translation,
    )
    rotations, offsets = head.joint_transforms(params)
    root = head.joint_locations(params.identity)[ROOT].double().numpy()
    point = np.array([0.03, 0.05, 0.1])
    actual = rotations[0, ROOT].double().numpy() @ (point - ROOT_JOINT + root) + offsets[0, ROOT].double().numpy()
    expected = FACING @ (FACING @ turn @ point + [0.1, -0.2, 1.5])
    assert np.allclose(actual, expected + root - ROOT_JOINT, atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [
        ("x_expressions.npy", "x_poses.npy"),
        ("a_pose_exp.npy", "a_pose_pose.npy"),
        ("expr.npy", "pose.npy"),
        ("exp_01.npy", "poses_01.npy"),
    ],
)
def test_either_file_of_a_pair_gives_both(names: tuple[str, str], tmp_path: Path) -> None:
    pair(tmp_path, names=names)
    by_either = [read_motion(tmp_path / name) for name in names]
    assert torch.equal(by_either[0].weights, by_either[1].weights) and by_either[0].joint_rot.any()
    assert torch.equal(read_motion(tmp_path).weights, by_either[0].weights)


def test_a_missing_or_ambiguous_partner_is_named(tmp_path: Path) -> None:
    path = pair(tmp_path)
    np.save(tmp_path / "a_pose.npy", np.zeros((3, 15)))
    with pytest.raises(HeadsplatError, match=r"several files could be its poses \(a_pose\.npy, a_poses\.npy\)"):
        read_motion(path)
    (tmp_path / "a_pose.npy").unlink()
    (tmp_path / "a_poses.npy").unlink()
    with pytest.raises(HeadsplatError, match=r"its poses are missing; put them .* as a_poses\.npy"):
        read_motion(path)
    with pytest.raises(HeadsplatError, match="does not show whether it contains expressions or poses"):
        read_motion(path.rename(tmp_path / "take.npy"))


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a", b"", "line 1: expected comma-separated names"),
        ("a", b"\x7fELF\0\0\1", "not a motion file; expected"),
        ("a", b"a,b\n1,2\n", r"line 1: no column with a name of ARKit \(found a, b\)"),
        ("a", b"Timecode,BlendShapeCount,Nose\n", r"line 1: no ARKit expression among its names \(Nose\)"),
        ("a", b"timeCode,blendShapes.JawOpen\n0,0.5\n0.1\n", "line 3: 1 columns, the header has 2"),
        ("a", b"timeCode,blendShapes.JawOpen\n0,0.5\nx,1\n", "line 3: timeCode: 'x' is not a time"),
        ("a", b'{"names": ["jawOpen"],\n "frames": [', "line 2: not JSON"),
        ("a", b"[" * 100_000, "not JSON of a motion"),
        ("a", b"[1, 2]", r"JSON without ARKit's names \(found no objects\)"),
        ("a", b'{"a": 1}', r"JSON without ARKit's names \(found a\)"),
        ("a", _json({"names": ["jawOpen"], "frames": []}), "frames: expected a list of objects"),
        ("a", _json({"names": "jawOpen", "frames": []}), "names: expected a list of names"),
        (
            "a",
            _json({"names": ["jawOpen"], "frames": [{"weights": [1, 2]}]}),
            r"frames\[0\].weights: expected 1 numbers",
        ),
        ("a", _json({"names": ["jawOpen"], "frames": [{"weights": [None]}]}), r"frames\[0\].weights\[0\]: 'None'"),
        ("a", _json({"names": ["jawOpen"], "frames": [{"weights": [True]}]}), r"frames\[0\].weights\[0\]: 'True'"),
        ("a", b'{"names": ["jawOpen"], "frames": [{"weights": [NaN]}]}', r"frames\[0\].weights\[0\]: 'nan'"),
        ("a", _json({"names": ["jawOpen"], "frames": [{}]}), r"frames\[0\].weights: expected a list of numbers"),
        (
            "a",
            _json({"names": ["jawOpen"], "frames": [{"weights": [1], "time": 0}, {"weights": [1]}]}),
            r"frames\[1\].time: missing",
        ),
        (
            "a",
            _json({"names": ["jawOpen"], "frames": [{"weights": [1], "rotation": [0, 0, 0]}, {"weights": [1]}]}),
            r"frames\[1\].rotation: 0 numbers, other frames have 3",
        ),
        ("a.npy", b"\x93NUMPY\1\0", "its name does not show"),
        ("a.frame", b"\x80\2}.", "not a frame of metrical-tracker|no `flame`"),
        ("a", b"PK\3\4 and no more", "damaged"),
    ],
)
def test_errors_name_the_file_and_the_line_or_key(name: str, data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(HeadsplatError, match=f"^{path}: ({sentence})"):
        read_motion(path)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"numFrames": 4}, "weightMat: 3 rows, numFrames is 4"),
        ({"exportFps": 0}, "exportFps: 0 fps is not a valid rate"),
        ({"weightMat": [[0.1]]}, r"weightMat: 1 rows|weightMat\[0\]"),
        ({"facsNames": ["a", "b"]}, r"facsNames: no ARKit expression among its names \(a, b\)"),
    ],
)
def test_a_wrong_audio2face_json_names_the_key(changed: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=sentence):
        read_motion(audio2face_json(tmp_path / "a.json", **changed))


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("expr", np.full((3, 100), np.nan), "expr: row 1: an entry that is not a number"),
        ("rotation", np.zeros((3, 4)), r"rotation: expected \[T,3\], found \[3, 4\]"),
        ("jaw_pose", np.zeros((2, 3)), "jaw_pose: 2 frames, others have 3"),
        ("expr", np.array(["a"]), "expr: holds <U1, not numbers"),
        ("expr", np.zeros((0, 100)), "expr: expected"),
    ],
)
def test_wrong_flame_parameters_name_the_array(part: str, value: np.ndarray, sentence: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "flame_param.npz", **{**flame_parts(3), part: value})
    with pytest.raises(HeadsplatError, match=rf"flame_param\.npz: {sentence}"):
        read_motion(tmp_path)


def test_a_frame_that_does_not_match_the_others_is_named(tmp_path: Path) -> None:
    folder = vhap(tmp_path / "v")
    np.savez(folder / "flame_param" / "00001.npz", expr=np.zeros((1, 100)))
    with pytest.raises(HeadsplatError, match=r"00001\.npz: \w+: nothing, the first file has \(1, \d\)"):
        read_motion(folder)
    frame(tmp_path / "m" / "00000.frame")
    frame(tmp_path / "m" / "00001.frame", exp=torch.zeros(1, 50))
    with pytest.raises(HeadsplatError, match=r"00001\.frame: has other parameters than 00000\.frame"):
        read_motion(tmp_path / "m")
    frame(tmp_path / "n" / "00000.frame", jaw=torch.zeros(1, 6))
    with pytest.raises(HeadsplatError, match=r"00000\.frame: jaw: not a rotation"):
        read_motion(tmp_path / "n")


def test_a_folder_of_nothing_a_missing_path_and_several_motions(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="a folder without a motion"):
        read_motion(tmp_path)
    with pytest.raises(HeadsplatError, match="no such file"):
        read_motion(tmp_path / "absent.csv")
    pair(tmp_path)
    pair(tmp_path, names=("b_exp.npy", "b_pose.npy"))
    with pytest.raises(HeadsplatError, match=r"contains several motions \(a_expressions\.npy, b_exp\.npy\)"):
        read_motion(tmp_path)


def test_an_archive_of_other_arrays_lists_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", color=np.zeros(3))
    with pytest.raises(HeadsplatError, match=r"its arrays \(color\) are not a motion"):
        read_motion(tmp_path / "a.npz")


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e9])
def test_an_invalid_rate_is_refused(fps: float, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="fps: expected more than 0"):
        read_motion(stacked(tmp_path / "a.npz"), fps=fps)


def test_a_text_larger_than_any_take_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_BYTES", 1000)
    with pytest.raises(HeadsplatError, match="larger than 0 MB, which no take is"):
        read_motion(live_link(tmp_path / "a.csv"))
