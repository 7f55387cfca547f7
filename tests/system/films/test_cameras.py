"""Several calibrated cameras around the procedural person: consistent images and files of the folder."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar import cli
from avatar.errors import HeadsplatError
from avatar.head import load_head
from capture.synthetic import SyntheticOptions, SyntheticScene, SyntheticTruth
from capture.synthetic.folder import write_synthetic

RIG = SyntheticOptions(person="sparse", width=128, height=160, frames=3, fps=10.0, cameras=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sparse: str) -> Path:
    """A calibrated folder of three cameras, written once. Read only."""
    folder = tmp_path_factory.mktemp("rig") / "rig"
    write_synthetic(folder, RIG)
    return folder


@pytest.fixture(scope="module")
def truth(folder: Path) -> SyntheticTruth:
    return SyntheticTruth.load(folder / "truth.npz")


def test_every_camera_records_every_time_step_with_a_mask(folder: Path) -> None:
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    assert [(frame["timestep_index"], frame["camera_index"]) for frame in frames] == [
        (step, camera) for step in range(RIG.frames) for camera in range(RIG.cameras)
    ]
    for frame in frames:
        image = cv2.imread(str(folder / frame["file_path"]))
        mask = cv2.imread(str(folder / frame["fg_mask_path"]), cv2.IMREAD_GRAYSCALE)
        assert image.shape == (frame["h"], frame["w"], 3) and mask.shape == image.shape[:2]


def test_the_transforms_put_the_true_surface_on_the_true_landmarks(folder: Path, truth: SyntheticTruth) -> None:
    head = load_head()
    for frame in json.loads((folder / "transforms.json").read_text())["frames"]:
        step, camera = frame["timestep_index"], frame["camera_index"]
        skull = truth.vertices(step) @ truth.skull_rotation[step].T + truth.skull_translation[step]
        corners = skull[head.faces.numpy()[head.landmark_faces.numpy()]]
        points = np.einsum("lk,lkc->lc", head.landmark_bary.numpy(), corners)
        to_world = np.array(frame["transform_matrix"])
        seen = (points - to_world[:3, 3]) @ to_world[:3, :3]  # OpenGL: x right, y up, looks along -z
        x = frame["cx"] - frame["fl_x"] * seen[:, 0] / seen[:, 2]
        y = frame["cy"] + frame["fl_y"] * seen[:, 1] / seen[:, 2]
        assert (seen[:, 2] < -0.5).all()
        np.testing.assert_allclose(np.stack([x, y], 1), truth.landmarks[camera, step], atol=0.02)


def test_the_mask_covers_the_landmarks_and_not_the_image(folder: Path, truth: SyntheticTruth) -> None:
    for camera, name in enumerate(truth.camera_names):
        mask = cv2.imread(str(folder / "fg_masks" / f"{name}_00000.png"), cv2.IMREAD_GRAYSCALE)
        column, row = truth.landmarks[camera, 0].astype(int).T
        assert (mask[row, column] > 100).mean() > 0.95  # some lie on the outline
        assert 0.15 < mask.mean() / 255 < 0.75


def test_the_outer_cameras_are_at_the_requested_angle(truth: SyntheticTruth) -> None:
    away = truth.skull_rotation[0][:, 2]
    backwards = -truth.world_to_cam[:, 2, :3]
    yaw = np.degrees(np.arctan2(backwards[:, 0], backwards[:, 2]) - np.arctan2(away[0], away[2]))
    np.testing.assert_allclose(yaw, [-RIG.arc, 0, RIG.arc], atol=2)


def test_calibrated_cameras_have_different_intrinsics_and_backgrounds(sparse: str) -> None:
    scene = SyntheticScene(RIG)
    assert len({float(view.K[0, 0]) for view in scene.views}) == RIG.cameras
    frames = scene.record(0)
    empty = np.max([frame.matte for frame in frames], axis=0) == 0
    assert empty.any() and np.abs(frames[0].rgb[empty].astype(int) - frames[1].rgb[empty]).mean() > 2


@pytest.mark.slow
def test_hair_covers_the_back_of_the_head_for_cameras_behind_it() -> None:
    scene = SyntheticScene(SyntheticOptions(width=128, height=160, frames=1, cameras=3, arc=165))
    right, front, left = (
        (frame.rgb.mean(-1) < 75)[10:80][frame.matte[10:80] > 250].mean() for frame in scene.record(0)
    )
    assert min(right, left) > 1.5 * front


@pytest.mark.parametrize(("field", "value"), [("cameras", 0), ("cameras", 33), ("arc", 0.0), ("arc", 180.0)])
def test_an_invalid_camera_option_is_an_error_that_names_it(field: str, value: float) -> None:
    with pytest.raises(HeadsplatError, match=field):
        SyntheticOptions(**{field: value})


def test_a_file_without_ground_truth_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "truth.npz").write_bytes(b"no archive")
    with pytest.raises(HeadsplatError, match="headsplat synth"):
        SyntheticTruth.load(tmp_path / "truth.npz")


def test_the_command_writes_a_video_with_truth_and_mattes(tmp_path: Path, capsys, sparse: str) -> None:
    out = tmp_path / "clip"
    assert cli.main(["synth", "-o", str(out), "--frames", "2", "--size", "96x128", "--person", sparse]) == 0
    assert {path.name for path in out.iterdir()} == {"video.mp4", "truth.npz", "mattes", ".headsplat"}
    assert len(list((out / "mattes").iterdir())) == 2
    assert capsys.readouterr().out.strip() == str(out)


def test_the_command_does_not_replace_a_folder_with_other_files(tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert cli.main(["synth", "-o", str(tmp_path), "--frames", "2", "--overwrite"]) == 1
    assert "notes.txt" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_command_does_not_replace_images_without_a_truth(tmp_path: Path, capsys) -> None:
    (tmp_path / "images").mkdir()
    assert cli.main(["synth", "-o", str(tmp_path), "--frames", "2", "--overwrite"]) == 1
    assert "it has no .headsplat, the file that marks headsplat's folders" in capsys.readouterr().err
    assert (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("field", "value"), [("fps", 0.0), ("focal", float("nan")), ("noise", float("inf")), ("yaw", float("nan"))]
)
def test_an_invalid_number_is_an_error_that_names_the_option(field: str, value: float) -> None:
    with pytest.raises(HeadsplatError, match=f"{field}: expected"):
        SyntheticOptions(**{field: value})
