"""A walk around a person as a capture, without networks; and how it is recognized."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.recordings import check_recordings
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.jobs.training import settings_of
from avatar.model.avatar import bake_identity
from avatar.training.config import TrainConfig
from avatar.types import FACING_CAMERA
from avatar.video import open_output
from capture.layouts.views import ORBIT, View, ViewSet
from capture.multiview.pipeline import capture_views
from capture.options import CaptureOptions
from capture.orbit.recognition import goes_around
from capture.pipeline import run_capture
from capture.report import write_report
from capture.stages.landmarks import LandmarkTable
from capture.tracker.landmark_model import LandmarkModel
from capture.video.decoding import SourceFrame
from tests.capture.faces.landmark_fixture import make_states
from tests.capture.video.fake_video import CAMERA, NO_FACE, SIZE, fake_models, source_metadata

VIEWS = 24
WITHOUT_FACE = (10, 11)


def _views(root: Path) -> ViewSet:
    """Images of the fake face as frames of a camera that moves as it would, were the head at rest."""
    count = len(LandmarkModel.from_head(load_head()).names)
    K = np.array([[CAMERA.focal, 0, CAMERA.cx], [0, CAMERA.focal, CAMERA.cy], [0, 0, 1.0]])
    views = []
    for number in range(VIEWS):
        rgb = np.full((SIZE, SIZE, 3), 60, np.uint8)
        rgb[0, 0] = number, 0, NO_FACE if number in WITHOUT_FACE else 0
        cv2.imwrite(str(root / f"{number}.png"), rgb[..., ::-1])
        state = make_states(number + 1, expressions=count, turn=0.3)[-1]
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = state.rotation, state.translation
        world_to_cam = np.array(FACING_CAMERA) @ pose
        views.append(View(root / f"{number}.png", None, number, 0, number / 30, K, world_to_cam, (SIZE, SIZE)))
    return ViewSet(root, ORBIT, tuple(str(number) for number in range(VIEWS)), tuple(views))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    root = tmp_path_factory.mktemp("walk")
    options = CaptureOptions(passes=1, test_every=6)
    return capture_views(_views(root), source_metadata(), root / "out", options, None, fake_models())


def test_all_frames_of_a_walk_have_one_head(walk: Capture) -> None:
    assert walk.still and len(np.unique(walk.track["time_step"])) == VIEWS
    for name in ("expression", "joint_rot", "translation"):
        assert (walk.track[name] == walk.track[name][0]).all()


def test_frames_without_a_face_are_kept_with_the_landmarks_of_the_head(walk: Capture) -> None:
    head, rows = load_head(), np.array(WITHOUT_FACE)
    assert set(WITHOUT_FACE) <= set(walk.track["frame_number"].tolist())
    seen = walk.camera(SIZE, rows).project(head.landmarks(head.vertices(walk.params(rows)))[:, :468]).numpy()
    np.testing.assert_allclose(seen, walk.track["landmarks"][rows, :468, :2], atol=0.05)
    assert walk.images(rows, SIZE)[1].any()


def test_every_nth_view_of_a_walk_is_held_out(walk: Capture) -> None:
    assert walk.test_indices.tolist() == [5, 11, 17, 23]


def test_the_window_of_a_walk_has_one_size(walk: Capture) -> None:
    K = np.array([camera["K"] for camera in walk.metadata["cameras"]])
    assert np.ptp(K[:, 0, 0]) == 0


def test_the_report_on_a_walk_asks_for_no_expressions(walk: Capture) -> None:
    report = write_report(walk, load_head(), overlay=False)
    assert {"mouth open", "smile", "blinking", "gaze", "brows", "nodding"}.isdisjoint(
        check.topic for check in report.checks
    )
    assert sum("focal" in line for line in report.to_text().splitlines()) == 1


def test_frames_of_a_walk_have_the_torso_in_the_pose_of_the_skull(walk: Capture) -> None:
    head = bake_identity(load_head(), torch.from_numpy(walk.track["identity"].astype(np.float32)))
    states = load_frames(walk, walk.train_indices, 64, head).states
    assert states.still and states[torch.tensor([3])].still
    assert states.torso is not None
    assert torch.equal(states.torso.rotation, states.rotation)


@dataclass
class _Room:
    """Frames of a face before a room that moves `step` pixels to the right a frame."""

    step: float
    width: int = 360
    height: int = 360
    focal_35mm: float | None = None

    def __iter__(self) -> Iterator[SourceFrame]:
        noise = np.random.default_rng(0).integers(0, 255, (360, 900, 3), np.uint8)
        room = cv2.GaussianBlur(noise, (0, 0), 3.0) * 3
        for number in range(60):
            move = np.array([[1, 0, self.step * (number - 30) - 270], [0, 1, 0]], np.float32)
            yield SourceFrame(number, number / 30, cv2.warpAffine(room, move, (360, 360), borderMode=cv2.BORDER_WRAP))


def _turning_faces(degrees: float) -> LandmarkTable:
    """Landmarks of a face that turns to the image's right, `degrees` in 60 frames."""
    table = LandmarkTable()
    model = LandmarkModel.from_head(load_head())
    for number, yaw in enumerate(np.radians(np.linspace(-degrees / 2, degrees / 2, 60))):
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        points = np.zeros((478, 3))
        points[:468] = 500 * (model.base @ turn.T) * [1, -1, -1] + [180, 180, 0]
        table.number.append(number)
        table.points.append(points)
    return table


def test_a_walk_with_held_out_frames_is_recognized() -> None:
    every = _turning_faces(90.0)
    rows = [row for row in range(60) if row % 5 != 4]
    shown = LandmarkTable([every.number[row] for row in rows], points=[every.points[row] for row in rows])
    assert goes_around(_Room(-8.0), shown)


@pytest.mark.parametrize(
    ("degrees", "step", "around"),
    [(90.0, -8.0, True), (90.0, 0.0, False), (90.0, 8.0, False), (30.0, -8.0, False)],
    ids=["the room turns with the face", "it stands still", "it turns the other way", "the face hardly turns"],
)
def test_a_walk_is_recognized_by_the_room_that_turns_with_the_face(degrees: float, step: float, around: bool) -> None:
    assert goes_around(_Room(step), _turning_faces(degrees)) == around


def test_a_walk_is_trained_without_blendshapes(walk: Capture, tiny: Capture) -> None:
    assert settings_of(walk, TrainConfig(mode="local")).bases == 0
    assert settings_of(tiny, TrainConfig()) == TrainConfig()


def test_a_walk_is_no_recording_of_several(walk: Capture, tiny: Capture) -> None:
    with pytest.raises(HeadsplatError, match="it trains an avatar of its own, leave it out"):
        check_recordings([tiny, walk])


def test_a_walk_without_faces_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    with open_output(path, 10) as writer:
        for _ in range(20):
            writer.add(np.zeros((SIZE, SIZE, 3), np.uint8))
    with pytest.raises(HeadsplatError, match="0 of 20 frames of the walk show the face, at least 16 are needed"):
        run_capture(path, tmp_path / "out", CaptureOptions(orbit=True), None, fake_models())


def _folder(root: Path) -> Path:
    """The images of the walk with their cameras, as other tools export them."""
    views = _views(root).views
    flip = np.diag([1.0, -1, -1, 1])
    frames = []
    for view in views:
        matrix = np.linalg.inv(np.asarray(view.world_to_cam)) @ flip
        frames.append({"file_path": view.image.name, "transform_matrix": matrix.tolist()})
    shared = {"fl_x": CAMERA.focal, "w": SIZE, "h": SIZE}
    (root / "transforms.json").write_text(json.dumps({**shared, "frames": frames}))
    return root


def test_a_folder_of_one_moving_camera_is_a_walk_where_that_is_stated(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    options = CaptureOptions(passes=1, orbit=True, test_every=6)
    found = run_capture(_folder(tmp_path / "in"), tmp_path / "out", options, None, fake_models())
    assert found.still and len(found) == VIEWS and len(found.test_indices) == 4
    assert np.ptp(found.track["joint_rot"], axis=0).max() == 0


def test_several_cameras_are_no_walk(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    root = _folder(tmp_path / "in")
    content = json.loads((root / "transforms.json").read_text())
    for number, frame in enumerate(content["frames"]):
        frame["camera_index"] = number % 2
        frame["transform_matrix"] = np.eye(4).tolist()
    (root / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match="--orbit is for one camera whose matrix differs from image to image"):
        run_capture(root, tmp_path / "out", CaptureOptions(orbit=True), None, fake_models())
