"""Files of many trackers with the same face: a head that turns by 20 degrees to each side, a jaw, one expression."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays, head_quat
from avatar.motion.files.flame import ROOT_JOINT
from avatar.motion.files.read import read_arrays
from avatar.motion.summary import MotionSummary
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT

_FRAMES = 50
_SHARE = np.linspace(0, 1, _FRAMES)
_ZERO = np.zeros((_FRAMES, 3))
_YAW = np.radians(20) * (2 * _SHARE - 1)
_HEAD = np.stack([0 * _YAW, _YAW, 0 * _YAW], 1)
_JAW = np.stack([0.3 * _SHARE, 0 * _SHARE, 0 * _SHARE], 1)
_EYES = np.tile([0.1, 0.2, 0, 0.3, 0.4, 0], (_FRAMES, 1))
_EXP = np.stack([2 * _SHARE, *[0 * _SHARE] * 49], 1)
_POINT = np.array([0.03, 0.05, 0.1])


def _same_face(found: MotionArrays, *, eyes: bool = False) -> None:
    assert len(found) == _FRAMES and found.space == "flame"
    assert found.weights[:, 0] == pytest.approx(_EXP[:, 0], abs=1e-6) and not found.weights[:, 2:50].any()
    assert found.joint_rot[:, JAW] == pytest.approx(_JAW, abs=1e-5)
    assert MotionSummary.of(found, "a").head_degrees == pytest.approx({"yaw": 40, "pitch": 0, "roll": 0}, abs=0.1)
    assert head_quat(found.joint_rot)[-1, 2] > 0.1  # to the person's left in the end
    if eyes:
        assert found.joint_rot[0, [LEFT_EYE, RIGHT_EYE], 1] == pytest.approx([0.2, 0.4])


def _noted(found: MotionArrays, words: str) -> bool:
    return any(words in note for note in found.notes)


def _six(rotvec: np.ndarray) -> np.ndarray:
    rows: np.ndarray = Rotation.from_rotvec(rotvec).as_matrix()[:2].reshape(1, 6)
    return rows


_BY_NAMES: dict[str, dict[str, Any]] = {
    "DECA": {
        "shape": np.zeros((_FRAMES, 100)), "exp": _EXP, "pose": np.concatenate([_HEAD, _JAW], 1),
        "cam": np.zeros((_FRAMES, 3)), "light": np.zeros((_FRAMES, 9, 3)),
    },
    "codes": {"expcode": _EXP, "posecode": np.concatenate([_HEAD, _JAW], 1), "eyecode": _EYES},
    "SMIRK": {
        "pose_params": _HEAD, "expression_params": _EXP, "jaw_params": _JAW, "cam": np.zeros((_FRAMES, 3)),
        "eyelid_params": np.stack([_SHARE, 0 * _SHARE], 1), "shape_params": np.zeros((_FRAMES, 300)),
    },
    "full pose": {"expression": _EXP, "full_pose": np.concatenate([_HEAD, _ZERO, _JAW, _EYES], 1)},
    "SMPL-X head": {"expression": _EXP, "global_orient": _HEAD, "jaw_pose": _JAW, "transl": _ZERO},
}  # fmt: skip


@pytest.mark.parametrize("program", _BY_NAMES)
def test_other_names_whose_meaning_is_certain_are_read(program: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "take.npz", **_BY_NAMES[program])
    found = read_arrays(tmp_path / "take.npz", 25)
    _same_face(found, eyes=program in ("codes", "full pose"))
    assert found.time[-1] == pytest.approx(49 / 25)
    if program == "SMIRK":
        assert found.names[-2:] == ("eyelidLeft", "eyelidRight") and found.weights[-1, -2:] == pytest.approx([1, 0])


def test_one_file_of_other_names_for_each_frame_is_read(tmp_path: Path) -> None:
    for k in range(_FRAMES):
        one = {name: value[k : k + 1] for name, value in _BY_NAMES["DECA"].items()}
        np.savez(tmp_path / f"{k:05d}.npz", **one)
    found = read_arrays(tmp_path)
    _same_face(found)
    assert _noted(found, "ignored, not part of a motion: cam, light, shape")


def test_emoca_writes_a_folder_for_each_face_of_each_frame(tmp_path: Path) -> None:
    pose = np.concatenate([_HEAD, _JAW], 1).astype(np.float32)
    for k in range(_FRAMES):
        for face in (0, 1) if k == 7 else (0,):
            folder = tmp_path / f"{k + 1 + 5 * (k > 20):06d}_{face:03d}"
            folder.mkdir()
            np.save(folder / "exp.npy", (_EXP[k] + 9 * face).astype(np.float32))
            np.save(folder / "pose.npy", pose[k])
            np.save(folder / "detail.npy", np.zeros(128, np.float32))
    found = read_arrays(tmp_path)
    _same_face(found)
    assert found.time[21] - found.time[20] == pytest.approx(6 / 30) and _noted(found, "5 frame numbers are missing")
    assert _noted(found, "1 of 50 frames have several faces")


@pytest.mark.parametrize("names", [("exp.npy", "pose.npy"), ("a_expressions.npy", "a_poses.npy")])
def test_pairs_of_arrays_with_head_and_jaw_are_read(names: tuple[str, str], tmp_path: Path) -> None:
    np.save(tmp_path / names[0], _EXP)
    np.save(tmp_path / names[1], np.concatenate([_HEAD, _JAW], 1))
    _same_face(read_arrays(tmp_path))
    np.save(tmp_path / names[1], _HEAD)
    with pytest.raises(HeadsplatError, match=r"expected poses \[T,15\] .* or \[T,6\] \(root, jaw\).*found \[50, 3\]"):
        read_arrays(tmp_path)


def _imavatar(path: Path, numbers: list[int]) -> Path:
    pose = np.concatenate([_ZERO, _HEAD, _JAW, _EYES], 1)
    frames = [
        {
            "file_path": f"./image/{number}",
            "world_mat": [[1, 0, 0, 0.4], [0, 1, 0, 0], [0, 0, 1, -4]],
            "expression": _EXP[k].tolist(),
            "pose": pose[k].tolist(),
            "bbox": [0, 0, 1, 1],
        }
        for k, number in enumerate(numbers)
    ]
    content = {"frames": frames, "shape_params": [0] * 100, "intrinsics": [-3, 3, 0.5, 0.5]}
    path.write_text(json.dumps(content))
    return path


def test_imavatars_json_is_read_at_25_fps_with_a_gap_where_images_are_missing(tmp_path: Path) -> None:
    path = _imavatar(tmp_path / "flame_params.json", [*range(1, 41), *range(51, 61)])
    for given in (path, tmp_path):
        found = read_arrays(given)
        _same_face(found, eyes=True)
        assert found.joint_rot[-1, NECK, 1] == pytest.approx(np.radians(20), abs=1e-5)
        assert found.time[39] == pytest.approx(39 / 25) and found.time[40] == pytest.approx(50 / 25)
        assert found.translation[0] == pytest.approx([0.1, 0, -1], abs=1e-6)
    assert _noted(read_arrays(path), "a gap in time")


def test_decas_and_lams_json_are_read(tmp_path: Path) -> None:
    pose = np.concatenate([_HEAD, _JAW], 1)
    code = {str(k + 1): {"exp": [_EXP[k].tolist()], "pose": [pose[k].tolist()]} for k in range(_FRAMES)}
    (tmp_path / "code.json").write_text(json.dumps(code))
    _same_face(read_arrays(tmp_path / "code.json"))
    stacked = {"expr": _EXP, "rotation": _HEAD, "jaw_pose": _JAW, "eyes_pose": _EYES, "translation": _ZERO}
    (tmp_path / "lam.json").write_text(json.dumps({name: value.tolist() for name, value in stacked.items()}))
    _same_face(read_arrays(tmp_path / "lam.json"), eyes=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"expression": [1.0]}, "expression: not numbers, or not the same count in every frame"),
        ({"world_mat": [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]}, "world_mat: not the poses of a camera"),
        ({"pose": "none"}, "pose: not numbers"),
        ({"pose": [0.0] * 6}, "pose: not numbers, or not the same count"),
    ],
)
def test_damaged_frames_of_a_json_are_named(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = _imavatar(tmp_path / "a.json", list(range(1, _FRAMES + 1)))
    content = json.loads(path.read_text())
    content["frames"][3].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match=f"a.json: {sentence}"):
        read_arrays(path)


def _nersemble() -> dict[str, Any]:
    world = Rotation.from_euler("xyz", [2.8, 0.4, 0.3])  # a world whose y axis points down
    head = world * Rotation.from_rotvec(_HEAD)
    return {
        "shape": np.zeros((1, 300)), "expression": _EXP, "rotation": head.as_euler("XYZ"),
        "rotation_matrices": head.as_matrix(), "translation": np.tile([0.5, 0.2, 1.0], (_FRAMES, 1)), "jaw": _JAW,
        "frames": 3 * np.arange(_FRAMES), "scale": np.array([[2.0]]), "neck": _ZERO, "eyes": _EYES,
    }  # fmt: skip


def test_nersembles_benchmark_is_read_whichever_way_its_world_faces(tmp_path: Path) -> None:
    parts = _nersemble()
    parts["frames"][30:] += 30
    (tmp_path / "tracking").mkdir()
    np.savez(tmp_path / "tracking" / "flame2023_tracking.npz", **parts)
    found = read_arrays(tmp_path, 24)
    _same_face(found, eyes=True)
    assert found.time[29] == pytest.approx(29 / 24) and found.time[30] == pytest.approx(40 / 24)
    assert _noted(found, "a gap in time") and _noted(found, "the head's pose is relative to its mean")
    place = [Rotation.from_rotvec(found.joint_rot[k, ROOT]).apply(-ROOT_JOINT) + ROOT_JOINT for k in (0, 49)]
    assert found.translation[0] + place[0] == pytest.approx(found.translation[49] + place[1], abs=1e-6)
    np.savez(tmp_path / "tracking" / "flame2023_tracking.npz", **{**parts, "rotation_matrices": np.ones((50, 3, 3))})
    with pytest.raises(HeadsplatError, match="not the poses of a head"):
        read_arrays(tmp_path)


def test_frame_numbers_of_nha_are_times_and_vhaps_last_epoch_is_read(tmp_path: Path) -> None:
    parts = {"expr": _EXP, "rotation": _HEAD, "neck_pose": _ZERO, "jaw_pose": _JAW, "eyes_pose": _EYES}
    frame = np.arange(_FRAMES) + 10 * (np.arange(_FRAMES) > 30)
    np.savez(tmp_path / "tracked_flame_params.npz", **parts, frame=frame, K=np.ones(3), RT=np.eye(4)[:3])
    found = read_arrays(tmp_path)
    _same_face(found, eyes=True)
    assert found.time[31] - found.time[30] == pytest.approx(11 / 30) and _noted(found, "a gap in time")
    (tmp_path / "tracked_flame_params.npz").unlink()
    for epoch in (9, 30):
        np.savez(tmp_path / f"tracked_flame_params_{epoch}.npz", **{**parts, "jaw_pose": _JAW * (epoch == 30)})
    _same_face(read_arrays(tmp_path))


@pytest.mark.parametrize("name", ["BEAT2", "AMASS"])
def test_the_head_of_smplx_poses_is_read_at_the_rate_of_the_file(name: str, tmp_path: Path) -> None:
    poses = np.zeros((_FRAMES, 55, 3))
    up = Rotation.from_rotvec([np.pi / 2 * (name == "AMASS"), 0, 0])  # AMASS: z is up
    poses[:, 0] = (up * Rotation.from_rotvec(_HEAD / 2)).as_rotvec()
    poses[:, 15] = _HEAD / 2
    poses[:, 22] = _JAW
    poses[:, 23:25] = _EYES.reshape(-1, 2, 3)
    rate = {"mocap_frame_rate": 120.0} if name == "AMASS" else {"mocap_frame_rate": 30}
    parts = {"betas": np.zeros(300), "poses": poses.reshape(-1, 165), "expressions": _EXP, "trans": _ZERO}
    np.savez(tmp_path / "a.npz", **parts, **rate, gender="neutral", model="smplx2020")
    found = read_arrays(tmp_path / "a.npz")
    _same_face(found, eyes=True)
    assert found.rate == pytest.approx(120 if name == "AMASS" else 30)


def test_a_body_without_a_face_is_not_read_as_a_face(tmp_path: Path) -> None:
    np.savez(tmp_path / "smplh.npz", poses=np.zeros((9, 156)), trans=np.zeros((9, 3)), betas=np.zeros(16))
    with pytest.raises(HeadsplatError, match="are not a motion"):
        read_arrays(tmp_path / "smplh.npz")


def _pixel3dmm(folder: Path, base: Rotation) -> Path:
    (folder / "checkpoint").mkdir(parents=True)
    for k in range(_FRAMES):
        flame = {
            "exp": _EXP[k : k + 1], "shape": np.zeros((1, 300)), "eyes": np.tile(_six(np.zeros(3)), 2),
            "eyelids": np.array([[0.25, 0.75]]), "jaw": _six(_JAW[k]), "neck": _six(np.zeros(3)),
            "R": _six(_HEAD[k]), "R_rotation_matrix": np.eye(3)[None], "t": np.array([[0.01 * k, 0.02, 0.03]]),
        }  # fmt: skip
        camera = {"R_base_0": base.as_matrix()[None], "t_base_0": np.array([[0, 0, -1.0]]), "fl": np.ones((1, 1))}
        content = {"flame": flame, "camera": camera, "img_size": np.array([256, 256]), "frame_id": k}
        torch.save(content, folder / "checkpoint" / f"{k:05d}.frame")
    return folder


def test_pixel3dmms_head_turns_before_a_camera_that_stands_still(tmp_path: Path) -> None:
    base = Rotation.from_rotvec([0.1, 0, 0])
    found = read_arrays(_pixel3dmm(tmp_path / "p", base))
    assert found.joint_rot[:, JAW] == pytest.approx(_JAW, abs=1e-5) and found.rate == pytest.approx(30)
    assert MotionSummary.of(found, "a").head_degrees["yaw"] == pytest.approx(40, abs=1)
    for k in (0, 33):
        turn = Rotation.from_rotvec(found.joint_rot[k, ROOT])
        placed = turn.apply(_POINT - ROOT_JOINT) + ROOT_JOINT + found.translation[k]
        world = Rotation.from_rotvec(_HEAD[k]).apply(_POINT) + np.array([0.01 * k, 0.02, 0.03])
        assert placed == pytest.approx(base.apply(world) + np.array([0, 0, -1]), abs=1e-5)
    assert not _noted(found, "the camera moves")


_VHAP = {
    "expr": _EXP,
    "rotation": _HEAD,
    "neck_pose": _ZERO,
    "jaw_pose": _JAW,
    "eyes_pose": _EYES,
    "translation": _ZERO,
}
_TURNS = ("rotation", "jaw_pose", "eyes_pose", "pose_params", "jaw_params", "poses")


@pytest.mark.parametrize("parts", [_VHAP, _BY_NAMES["SMIRK"]], ids=["VHAP", "SMIRK"])
def test_rotations_beyond_a_turn_are_read_as_degrees(parts: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{n: np.degrees(part) if n in _TURNS else part for n, part in parts.items()})
    found = read_arrays(tmp_path / "a.npz")
    _same_face(found)
    assert _noted(found, "more than a turn in radians: read as degrees")


@pytest.mark.parametrize("name", ["rotation", "jaw_pose", "eyes_pose"])
def test_one_joint_in_degrees_does_not_make_the_others_motionless(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{**_VHAP, name: np.degrees(_VHAP[name])})
    with pytest.raises(HeadsplatError, match=rf"{name} reaches .* as in degrees, but .* as in radians; write all"):
        read_arrays(tmp_path / "a.npz")


def test_a_wrong_frame_does_not_make_degrees(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{**_VHAP, "rotation": np.where(np.arange(50)[:, None] == 7, 9.0, _HEAD)})
    found = read_arrays(tmp_path / "a.npz")
    assert found.joint_rot[-1, ROOT] == pytest.approx(_HEAD[-1]) and _noted(found, "rotation reaches 15.6 in 1 of 50")


def test_degrees_of_a_pair_of_arrays_and_of_the_camera_of_flame_head_tracker_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "exp.npy", _EXP)
    np.save(tmp_path / "pose.npy", np.degrees(np.concatenate([_HEAD, _JAW], 1)))
    _same_face(read_arrays(tmp_path))
    camera = np.concatenate([np.degrees(-_HEAD), np.tile([0, 0, 1.0], (_FRAMES, 1))], 1)
    np.savez(tmp_path / "t.npz", exp=_EXP, head_pose=_ZERO, jaw_pose=_JAW, cam=camera)
    _same_face(read_arrays(tmp_path / "t.npz"))


def test_a_jaw_that_opens_too_far_and_a_head_that_travels_too_far_are_noted(tmp_path: Path) -> None:
    travel = np.stack([900 * _SHARE, 0 * _SHARE, 0 * _SHARE], 1)
    np.savez(tmp_path / "a.npz", **{**_VHAP, "jaw_pose": 10 * _JAW, "translation": travel})
    found = read_arrays(tmp_path / "a.npz")
    assert _noted(found, "jaw_pose reaches 3 radians, farther than it turns: if it has degrees, write radians")
    assert _noted(found, "the head travels 900 m: if its position is in millimeters or centimeters, write meters")
    np.savez(tmp_path / "b.npz", **_VHAP)
    assert not any("turns" in note or "travels" in note for note in read_arrays(tmp_path / "b.npz").notes)


def test_frames_that_a_stopped_tracker_left_at_zero_are_noted(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", **{name: np.where(np.arange(50)[:, None] < 30, part, 0) for name, part in _VHAP.items()}
    )
    assert _noted(
        read_arrays(tmp_path / "a.npz"), "the last 20 of 50 frames are all zero, as where a tracker was stopped"
    )
    np.savez(tmp_path / "b.npz", **_VHAP)
    assert not _noted(read_arrays(tmp_path / "b.npz"), "all zero")


def test_expressions_that_seem_transposed_are_noted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", expr=np.ones((50, 45)))
    assert _noted(read_arrays(tmp_path / "a.npz"), "if they are 45 frames of 50, transpose them")
    np.savez(tmp_path / "b.npz", **_VHAP)
    assert not _noted(read_arrays(tmp_path / "b.npz"), "transpose")
    np.savez(tmp_path / "c.npz", **{**_VHAP, "expr": np.pad(_EXP, ((0, 0), (0, 250)))})
    assert not _noted(read_arrays(tmp_path / "c.npz"), "transpose")  # the other arrays have 50 rows too


@pytest.mark.parametrize("kind", ["f4", "f8", ">f8"])
def test_numbers_of_any_width_are_read(kind: str, tmp_path: Path) -> None:
    parts = {"expr": _EXP, "rot": _HEAD, "tra": _ZERO, "eye_rot": _ZERO, "jaw_rot": _JAW, "extr": np.eye(4)[None]}
    np.savez(tmp_path / "fit.npz", **{name: part.astype(kind) for name, part in parts.items()})
    _same_face(read_arrays(tmp_path))


def _pickled(path: Path) -> None:
    class Marker:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return os.mkdir, (str(path.parent / "executed"),)

    path.write_bytes(pickle.dumps({"exp": Marker()}))


_FOREIGN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "smoothed.pkl": (_pickled, "a Python pickle, which is not opened because it could run a program; save its arrays"),
    "codes": (_pickled, "a Python pickle, which is not opened"),
    "old.pkl": (lambda path: path.write_bytes(pickle.dumps({"exp": 1}, 0)), "a Python pickle, which is not opened"),
    "flame.pt": (lambda path: torch.save({"exp": torch.ones(3)}, path), "a file of PyTorch, which is not opened"),
    "000001.mat": (lambda path: savemat(path, {"exp": np.zeros((1, 64))}), "a MATLAB file, as DECA, Deep3DFaceRecon"),
    "a.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "an HDF5 file, which is not read; save"),
    "point_cloud.ply": (lambda path: path.write_bytes(b"ply\nformat ascii 1.0\n"), "points or a mesh, not the motion"),
    "voca.npy": (lambda path: np.save(path, np.zeros((9, 15069))), "positions of 5023 vertices, as VOCA, FaceFormer"),
    "biwi.npy": (lambda path: np.save(path, np.zeros((9, 70110))), "positions of 23370 vertices"),
    "mesh.npy": (lambda path: np.save(path, np.zeros((9, 5023, 3))), "positions of 5023 vertices"),
    "dict.npy": (
        lambda path: np.save(path, np.array({"exp": 1}), allow_pickle=True),
        "holds object, not numbers; save",
    ),
    "b.npz": (lambda path: np.savez(path, exp=_EXP, angle=_HEAD, trans=_ZERO), "coefficients of the Basel Face Model"),
    "show.npz": (
        lambda path: np.savez(path, expression=_EXP, jaw_pose=_JAW, global_orient=_HEAD, body_pose=np.zeros((50, 63))),
        "the pose of a body in parts",
    ),
    "transforms_train.json": (lambda path: path.write_text('{"frames": []}'), "cameras and images without all"),
}


@pytest.mark.parametrize("name", _FOREIGN)
def test_files_that_are_not_read_are_named_with_the_remedy_and_never_run(name: str, tmp_path: Path) -> None:
    write, sentence = _FOREIGN[name]
    write(tmp_path / name)
    with pytest.raises(HeadsplatError, match=f"{name}: {sentence}"):
        read_arrays(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("transforms.json", "cameras and images without all parameters of the face; give the tracker's own output"),
        ("calibration/camera_params.json", "a person of NeRSemble; name the folder of a sequence in it"),
        ("point_cloud/iteration_5/point_cloud.ply", "a model of GaussianAvatars; name point_cloud/iteration_N in it"),
        ("KRT", "a recording of Multiface, whose meshes are not read"),
        ("000001.mat", "contains 000001.mat, a MATLAB file"),
    ],
)
def test_folders_that_are_not_read_are_named_with_the_remedy(entry: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / entry
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(HeadsplatError, match=f"^{tmp_path}: {sentence}"):
        read_arrays(tmp_path)
