"""FLAME parameters of other trackers than VHAP: read with their own keys, or refused by name."""

from __future__ import annotations

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
    assert any("24 fps, as the file says" in note for note in found.notes)


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
    np.savez(tmp_path / "a.npz", **flame_parts(3), pose=np.zeros((3, 3)), cam=np.zeros((3, 3)), fps=np.array(24))
    found = read_arrays(tmp_path / "a.npz")
    assert found.rate == pytest.approx(30) and any(
        "ignored" in note and "cam, fps, pose" in note for note in found.notes
    )


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
