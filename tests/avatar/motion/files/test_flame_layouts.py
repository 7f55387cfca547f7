"""FLAME parameters of other trackers than VHAP: read with their own keys, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.motion.files.flame import ROOT_JOINT
from avatar.motion.files.read import read_arrays
from avatar.motion.summary import MotionSummary
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT
from tests.avatar.motion.files.small import flame_parts

_FACING = np.diag([1.0, -1.0, -1.0])
_POINT = np.array([0.03, 0.05, 0.1])


def _cap4d(frames: int = 30, width: int = 65) -> dict[str, np.ndarray]:
    """CAP4D's fit.npz: a head that turns by 23 degrees to each side before a tilted camera."""
    rng = np.random.default_rng(0)
    yaw = np.radians(23) * np.linspace(-1, 1, frames)
    extrinsic = np.eye(4)
    extrinsic[:3, :3] = Rotation.from_rotvec([0.2, 0.1, 0.0]).as_matrix()
    extrinsic[:3, 3] = 0.1, -0.05, 1.2
    return {
        "shape": np.zeros(150, np.float32),
        "expr": rng.normal(size=(frames, width)).astype(np.float32),
        "rot": np.stack([0 * yaw, yaw, 0 * yaw], 1).astype(np.float32),
        "tra": rng.normal(0, 0.05, (frames, 3)).astype(np.float32),
        "eye_rot": rng.normal(0, 0.1, (frames, 3)).astype(np.float32),
        "neck_rot": rng.normal(0, 0.1, (frames, 3)).astype(np.float32),
        "extr": extrinsic[None].astype(np.float32),
        "fx": np.full((1, 1), 800.0),
        "fps": np.array(24),
    }


def _head_tracker(folder: Path, frames: int = 30, **more: np.ndarray) -> Path:
    """The folder of flame-head-tracker 4: the camera goes round the head by 34 degrees to each side."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(frames):
        share = k / (frames - 1)
        parts = {
            "shape": np.zeros((1, 300), np.float32),
            "exp": np.full((1, 100), share, np.float32),
            "head_pose": np.array([[0.1, 0.0, 0.05]], np.float32),
            "neck_pose": np.array([[0.0, 0.1, 0.0]], np.float32),
            "jaw_pose": np.array([[0.2 * share, 0, 0]], np.float32),
            "eye_pose": np.array([[0.1, 0.2, 0.0, 0.3, 0.4, 0.0]], np.float32),
            "cam": np.array([[0.0, 0.6 * (2 * share - 1), 0.0, 0.02, 0.03, 1.0]], np.float32),
            "fov": np.array([20.0]),
        }
        np.savez(folder / f"{k}.npz", **{**parts, **more})
    return folder


def _placed(motion: MotionArrays, row: int) -> np.ndarray:
    """Where a motion puts a point of FLAME's mean head, for a camera at the origin that looks along -z."""
    turn = Rotation.from_rotvec(motion.joint_rot[row, ROOT])
    placed: np.ndarray = turn.apply(_POINT - ROOT_JOINT) + ROOT_JOINT + motion.translation[row]
    return placed


def test_cap4d_is_read_with_its_own_keys_and_rate(tmp_path: Path) -> None:
    parts = _cap4d()
    np.savez(tmp_path / "fit.npz", **parts)
    found = read_arrays(tmp_path)
    assert found.time == pytest.approx(np.arange(30) / 24) and found.space == "flame"
    assert found.weights == pytest.approx(parts["expr"][:, :64]) and len(found.names) == 64
    assert found.joint_rot[:, LEFT_EYE] == pytest.approx(parts["eye_rot"])
    assert found.joint_rot[:, RIGHT_EYE] == pytest.approx(parts["eye_rot"])
    assert MotionSummary.of(found, "a").head_degrees["yaw"] == pytest.approx(46, abs=2)
    for row in (0, 17):
        world = Rotation.from_rotvec(parts["rot"][row]).apply(_POINT) + parts["tra"][row]
        camera = parts["extr"][0, :3, :3] @ (_FACING @ world) + parts["extr"][0, :3, 3]
        assert _placed(found, row) == pytest.approx(_FACING @ camera, abs=1e-5)
    assert any("24 fps, as stated in it" in note for note in found.notes)


def test_the_given_rate_wins_over_that_of_cap4d_and_the_cameras_path_beside_it_has_one(tmp_path: Path) -> None:
    parts = {name: value for name, value in _cap4d(width=100).items() if name not in ("fps", "extr")}
    np.savez(tmp_path / "fit.npz", **parts, jaw_rot=np.full((30, 3), 0.1))
    assert read_arrays(tmp_path / "fit.npz").rate == pytest.approx(30)
    np.savez(tmp_path / "cam_static.npz", fps=np.array(25.0))
    found = read_arrays(tmp_path / "fit.npz")
    assert found.rate == pytest.approx(25) and len(found.names) == 100
    assert found.joint_rot[:, JAW] == pytest.approx(0.1) and found.joint_rot[3, ROOT] == pytest.approx(parts["rot"][3])
    assert read_arrays(tmp_path / "fit.npz", 50).rate == pytest.approx(50)


def test_flame_head_trackers_moving_camera_moves_the_head(tmp_path: Path) -> None:
    found = read_arrays(_head_tracker(tmp_path / "f"), 25)
    assert found.rate == pytest.approx(25) and found.weights[-1] == pytest.approx(1)
    assert found.joint_rot[-1, JAW] == pytest.approx([0.2, 0, 0]) and found.joint_rot[0, NECK, 1] == pytest.approx(0.1)
    assert found.joint_rot[0, [LEFT_EYE, RIGHT_EYE], 1] == pytest.approx([0.2, 0.4])
    assert MotionSummary.of(found, "a").head_degrees["yaw"] == pytest.approx(68.8, abs=3)
    camera = Rotation.from_rotvec([0, -0.6, 0])
    world = Rotation.from_rotvec([0.1, 0, 0.05]).apply(_POINT - ROOT_JOINT) + ROOT_JOINT
    assert _placed(found, 0) == pytest.approx(camera.inv().apply(world - [0.02, 0.03, 1.0]), abs=1e-5)


def test_older_files_of_flame_head_tracker_are_read_without_the_camera(tmp_path: Path) -> None:
    pose = np.array([0.1, 0, 0, 0.2, 0, 0])
    np.savez(tmp_path / "0.npz", exp=np.ones((1, 50)), pose=pose[None], eye_pose=np.zeros((1, 6)), cam=np.ones(6))
    found = read_arrays(tmp_path / "0.npz")
    assert found.joint_rot[0, [ROOT, JAW], 0] == pytest.approx([0.1, 0.2]) and found.weights[0] == pytest.approx(1)
    assert any("before version 4: its camera angles are not read" in note for note in found.notes)


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ({"exp": (1, 50), "pose": (1, 3), "cam": (1, 3), "shape": (1, 100)}, "exp, pose"),
        ({"exp": (1, 50), "expression": (1, 50), "pose": (1, 6)}, "exp, expression, pose"),
        ({"exp": (1, 50), "pose": (1, 6), "jaw": (1, 3)}, "exp, pose, jaw"),
        ({"expcode": (9, 50), "posecode": (9, 6), "transform_matrix": (9, 12)}, "expcode, posecode, transform_matrix"),
        ({"expression_params": (9, 50), "jaw_params": (9, 3)}, "expression_params, jaw_params"),
        ({"exp": (9, 100), "jaw_pose": (9, 3), "neck_pose": (9, 3), "eye_pose": (9, 6)}, "exp, eye_pose"),
    ],
)
def test_other_names_of_the_parameters_are_refused_not_dropped(
    shapes: dict[str, tuple[int, ...]], named: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "00000.npz", **{name: np.zeros(shape) for name, shape in shapes.items()})
    for path in (tmp_path, tmp_path / "00000.npz"):
        with pytest.raises(HeadsplatError, match=f"00000.npz: seems to be of a tracker .* it has {named}; convert"):
            read_arrays(path)


def test_vhaps_own_files_with_more_arrays_are_read_as_before(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **flame_parts(3), pose=np.zeros((3, 3)), cam=np.zeros((3, 3)))
    found = read_arrays(tmp_path / "a.npz")
    assert found.rate == pytest.approx(30) and any("ignored" in note and "cam, pose" in note for note in found.notes)


@pytest.mark.parametrize("name", ["fps", "frame_rate"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_rate_in_a_file_of_any_tracker_is_taken_and_motion_fps_wins(name: str, count: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **flame_parts(3), **{name: np.full(count, 24.0)})
    assert read_arrays(tmp_path / "a.npz").rate == pytest.approx(24)
    assert read_arrays(tmp_path / "a.npz", 50).rate == pytest.approx(50)
    (tmp_path / "flame_param").mkdir()
    for k in range(3):
        np.savez(tmp_path / "flame_param" / f"{k:05d}.npz", **flame_parts(1), **{name: 24.0})
    assert read_arrays(tmp_path / "flame_param").rate == pytest.approx(24)
    np.savez(tmp_path / "b.npz", **flame_parts(3), **{name: np.arange(3)})
    with pytest.raises(HeadsplatError, match=f"{name}: not a valid rate"):
        read_arrays(tmp_path / "b.npz")


@pytest.mark.parametrize("unit", [1, 1000])
def test_times_in_a_file_of_any_tracker_are_taken(unit: int, tmp_path: Path) -> None:
    frames = np.array([k for k in range(30) if k not in (9, 10)])
    np.savez(tmp_path / "a.npz", **flame_parts(28), timestamps=unit * (7 + frames / 25))
    assert read_arrays(tmp_path / "a.npz").time == pytest.approx(frames / 25)
    assert read_arrays(tmp_path / "a.npz", 10).time == pytest.approx(np.arange(28) / 10)


def test_a_batch_axis_before_the_frames_is_no_frame(tmp_path: Path) -> None:
    parts = flame_parts(12)
    names = ("expr", "rotation", "jaw_pose")
    np.savez(tmp_path / "a.npz", **{name: parts[name][None] for name in names})
    found = read_arrays(tmp_path / "a.npz")
    assert len(found) == 12 and found.weights == pytest.approx(parts["expr"])


def test_eyes_in_two_arrays_are_read_together(tmp_path: Path) -> None:
    parts = flame_parts(12)
    given = {"expression": parts["expr"], "global_orient": parts["rotation"], "jaw_pose": parts["jaw_pose"]}
    left, right = parts["eyes_pose"][:, :3], parts["eyes_pose"][:, 3:]
    np.savez(tmp_path / "a.npz", **given, leye_pose=left, reye_pose=right)
    found = read_arrays(tmp_path / "a.npz")
    assert found.joint_rot[:, LEFT_EYE] == pytest.approx(left) and found.joint_rot[:, RIGHT_EYE] == pytest.approx(right)
    for name, value in (("a", {"leye_pose": left}), ("b", {"leye_pose": left, "reye_pose": right, "eyes": left})):
        np.savez(tmp_path / f"{name}.npz", **given, **value)
        with pytest.raises(HeadsplatError, match="seems to be of a tracker whose files are not read"):
            read_arrays(tmp_path / f"{name}.npz")


def test_json_of_a_list_of_frames_has_its_rate_and_the_numbers_in_its_names(tmp_path: Path) -> None:
    parts = flame_parts(12)
    frames = [{"exp": parts["expr"][k].tolist(), "pose": [0.1 * k] * 6} for k in range(12)]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    assert read_arrays(tmp_path / "a.json").weights == pytest.approx(parts["expr"])
    (tmp_path / "b.json").write_text(json.dumps({"fps": 25, "frames": frames}))
    assert read_arrays(tmp_path / "b.json").rate == pytest.approx(25)
    named = {f"frame_{k + 3 * (k > 5):04d}.png": frame for k, frame in enumerate(frames)}
    (tmp_path / "c.json").write_text(json.dumps(named))
    assert read_arrays(tmp_path / "c.json").time[5:7] == pytest.approx([5 / 30, 9 / 30])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"extr": np.zeros((1, 4, 4))}, "extr: not the poses of cameras"),
        ({"extr": np.zeros((0, 4, 4))}, "extr: not the poses of cameras"),
        ({"fps": np.array(-1.0)}, "fps: not a valid rate"),
        ({"rot": np.zeros((30, 4))}, r"rot: expected \[T,3\]"),
    ],
)
def test_wrong_arrays_of_cap4d_are_named(changed: dict[str, np.ndarray], sentence: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "fit.npz", **{**_cap4d(), **changed})
    with pytest.raises(HeadsplatError, match=sentence):
        read_arrays(tmp_path / "fit.npz")
