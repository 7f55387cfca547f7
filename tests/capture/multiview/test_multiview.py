"""Several cameras: joint track, cameras estimated from the face, and capture of a folder, without networks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from avatar.head import load_head
from capture.layouts import read_layout
from capture.layouts.transforms import FLIP
from capture.multiview.bundle import solve_cameras
from capture.multiview.fit import fit_head
from capture.multiview.plan import plan_views
from capture.multiview.rig import RigCamera
from capture.multiview.track import TimeSteps, fit_rig_person, track_rig, track_rig_held_out
from capture.multiview.world import find_similarity
from capture.options import CaptureOptions
from capture.pipeline import run_capture
from capture.sources import folder_digest
from capture.tracker.camera import FocalPrior
from capture.tracker.problem import State
from tests.capture.faces.landmark_fixture import make_model, make_states
from tests.capture.multiview.rig_fixture import make_cameras, observe
from tests.capture.video.fake_video import CAMERA, SIZE, fake_models

MODEL = make_model()
IDENTITY = np.random.default_rng(5).normal(size=MODEL.identity_size) * 0.7
TRUTH = make_states(24)


def _errors(states: tuple[State, ...], truth: list[State]) -> tuple[float, float]:
    """Mean error in degrees and millimeters."""
    turns = [np.linalg.norm(log_rotation(a.rotation @ b.rotation.T)) for a, b in zip(states, truth, strict=True)]
    offsets = [np.linalg.norm(a.translation - b.translation) for a, b in zip(states, truth, strict=True)]
    return float(np.degrees(np.mean(turns))), float(1000 * np.mean(offsets))


def _solved_errors(found: list[RigCamera], truth: list[RigCamera]) -> list[tuple[float, float]]:
    return [
        (
            float(np.degrees(np.linalg.norm(log_rotation(a.rotation @ b.rotation.T)))),
            float(1000 * np.linalg.norm(a.position - b.position)),
        )
        for a, b in zip(found, truth, strict=True)
    ]


def test_three_cameras_locate_the_head_more_precisely_than_one() -> None:
    cameras = make_cameras(0, -35, 35)
    seen = observe(MODEL, IDENTITY, cameras, TRUTH, 1.5)
    single = TimeSteps(tuple((observations[0],) for observations in seen.observations), seen.time)
    no_steps = TimeSteps((), np.zeros(0))
    one = _errors(fit_head(MODEL, cameras, single, no_steps).training.states, TRUTH)
    three = _errors(fit_head(MODEL, cameras, seen, no_steps).training.states, TRUTH)
    assert three[0] < 0.7 * one[0] and three[1] < 0.3 * one[1]
    assert three[0] < 0.3 and three[1] < 0.5


def test_the_track_does_not_depend_on_the_axes_of_the_world() -> None:
    cameras = make_cameras(0, 40)
    seen = observe(MODEL, IDENTITY, cameras, TRUTH[:12], 0.5)
    turn, shift = exp_rotation(np.array([0.3, -1.0, 0.4])), np.array([1.0, -2.0, 0.5])
    moved = [RigCamera(c.pinhole, c.rotation @ turn.T, c.translation - c.rotation @ turn.T @ shift) for c in cameras]
    first = fit_rig_person(MODEL, cameras, seen)
    second = fit_rig_person(MODEL, moved, seen)
    np.testing.assert_allclose(first.identity, second.identity, atol=0.02)


def test_held_out_time_steps_are_tracked() -> None:
    cameras = make_cameras(0, 30)
    seen = observe(MODEL, IDENTITY, cameras, TRUTH, 0.5)
    person = fit_rig_person(MODEL, cameras, seen.pick(range(18)))
    track = track_rig(person, seen.pick(range(18)))
    held_out = track_rig_held_out(person, seen.pick(range(18)), track, seen.pick(range(18, 24)))
    assert _errors(held_out.states, TRUTH[18:])[0] < 0.5


@pytest.mark.parametrize(("size", "unit"), [(1.0, "metres"), (1000.0, "millimetres"), (7.0, "unknown")])
def test_unit_and_axes_of_an_external_world_are_estimated(size: float, unit: str) -> None:
    cameras, turn = make_cameras(0, -35, 35), exp_rotation(np.array([2.0, 0.3, -0.5]))
    external = [replace(c, rotation=c.rotation @ turn.T, translation=c.translation * size) for c in cameras]
    seen = observe(MODEL, np.zeros(MODEL.identity_size), cameras, TRUTH, 0.3)
    found = find_similarity(MODEL, external, seen, "folder")
    assert found.unit == unit and abs(found.measured / size - 1) < 0.01
    ours = [found.transform_camera(camera) for camera in external]
    assert np.linalg.norm(ours[1].position - ours[0].position) == pytest.approx(
        np.linalg.norm(cameras[1].position - cameras[0].position), rel=0.01
    )
    head = ours[0].to_world(cameras[0].to_camera(TRUTH[0]))
    assert head.rotation[1, 1] > 0.8 and head.rotation[2, 2] > 0.5  # upright, looking along +z


def test_cameras_in_other_axes_are_an_error() -> None:
    cameras = make_cameras(0, -35, 35)
    seen = observe(MODEL, IDENTITY, cameras, TRUTH[:6], 0.3)
    turned = [replace(c, rotation=FLIP[:3, :3] @ c.rotation, translation=FLIP[:3, :3] @ c.translation) for c in cameras]
    with pytest.raises(HeadsplatError, match=r"folder: the (head would be behind|cameras contradict)"):
        find_similarity(MODEL, turned, seen, "folder")


@pytest.mark.slow
def test_unknown_cameras_are_estimated_from_the_face() -> None:
    cameras = make_cameras(0, -35, 35)
    seen = observe(MODEL, np.zeros(MODEL.identity_size), cameras, TRUTH[::2], 0.5)
    priors = [FocalPrior(camera.pinhole.focal, 0.01, "given") for camera in cameras]
    centers = np.array([[camera.pinhole.cx, camera.pinhole.cy] for camera in cameras])
    solved = solve_cameras(MODEL, priors, centers, seen, "abc")
    for degrees, millimeters in _solved_errors(list(solved.cameras), cameras):
        assert degrees < 0.5 and millimeters < 5


def test_a_camera_that_shares_no_time_step_with_others_is_named() -> None:
    cameras = make_cameras(0, 30)
    seen = observe(MODEL, IDENTITY, cameras, TRUTH[:6], 0.3)
    alternating = TimeSteps(tuple((s[k % 2],) for k, s in enumerate(seen.observations)), seen.time)
    priors = [FocalPrior(900.0, 0.01, "given")] * 2
    with pytest.raises(HeadsplatError, match="the camera b and another one both see the face at 0 time steps"):
        solve_cameras(MODEL, priors, np.full((2, 2), 256.0), alternating, "ab")


def _folder(root: Path, steps: int = 20, cameras: int = 2) -> Path:
    """A folder of `cameras` cameras with identical poses: each of them sees the same fake face."""
    (root / "images").mkdir(parents=True)
    frames = []
    for step in range(steps):
        for camera in range(cameras):
            rgb = np.full((SIZE, SIZE, 3), 60, np.uint8)
            rgb[0, 0] = step, 0, 0
            cv2.imwrite(str(root / "images" / f"{step}_{camera}.png"), rgb[..., ::-1])
            frames.append(
                {
                    "file_path": f"images/{step}_{camera}",
                    "timestep_index": step,
                    "camera_index": camera,
                    "transform_matrix": np.eye(4).tolist(),
                }
            )
    shared = {"fl_x": CAMERA.focal, "w": SIZE, "h": SIZE}
    (root / "transforms.json").write_text(json.dumps({**shared, "frames": frames}))
    return root


def _capture(folder: Path, out: Path, scale: float = 1.0, **options: object) -> Capture:
    chosen = CaptureOptions(passes=1, **options)  # type: ignore[arg-type]
    return run_capture(folder, out, chosen, None, fake_models(scale))


def _reprojected(capture: Capture) -> np.ndarray:
    """Distances [T,468] in pixels of the stored landmarks to the tracked head, through the camera of each row."""
    head, rows = load_head(), np.arange(len(capture))
    points = head.landmarks(head.vertices(capture.params(rows)))[:, :468]
    seen = capture.camera(SIZE, rows).project(points).numpy()
    distance: np.ndarray = np.linalg.norm(seen - capture.track["landmarks"][:, :468, :2], axis=-1)
    return distance


def test_a_folder_becomes_a_capture(tmp_path: Path) -> None:
    capture = _capture(_folder(tmp_path / "in", cameras=1), tmp_path / "out", test_every=5)
    assert len(capture) == 20 and len(capture.test_indices) == 4
    assert capture.track["reprojection"].mean() < 0.02
    rgb, alpha = capture.images(range(20), 4096)
    assert rgb.shape == (20, SIZE, SIZE, 3) and alpha.any()


def test_the_window_of_each_camera_follows_the_head(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in")
    capture = _capture(folder, tmp_path / "out", 0.45, test_camera="1")
    centers = capture.track["principal_point"]
    assert capture.metadata["width"] < SIZE and (np.ptp(centers, axis=0) > 0).all()
    for index, camera in enumerate(capture.metadata["cameras"]):
        own = centers[capture.track["camera"] == index]
        np.testing.assert_allclose(np.array(camera["K"])[:2, 2], np.median(own, axis=0))
    assert _reprojected(capture).mean() < 0.02 * capture.metadata["quality"]["inter_ocular_px"]
    assert any("in: the face is 5" in warning and "not enlarged" in warning for warning in capture.metadata["warnings"])


def test_images_of_a_folder_may_be_crops_with_principal_points_of_their_own(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in", cameras=1)
    plain = _capture(folder, tmp_path / "plain")
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        frame |= {"cx": SIZE / 2 + frame["timestep_index"], "cy": SIZE / 2}
    (folder / "transforms.json").write_text(json.dumps(content))
    capture = _capture(folder, tmp_path / "out")
    np.testing.assert_allclose(capture.track["principal_point"][:, 0], SIZE / 2 + np.arange(20))
    assert _reprojected(capture).mean() < 1.2 * _reprojected(plain).mean()
    moved = capture.track["translation"][:, 0] - plain.track["translation"][:, 0]
    expected = capture.track["translation"][:, 2] / CAMERA.focal * np.arange(20)
    np.testing.assert_allclose(moved, expected, atol=0.15 * np.abs(expected).max())


@pytest.fixture(scope="module")
def one_held_out(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture of two cameras, the second held out. Read only."""
    folder = tmp_path_factory.mktemp("rig")
    return _capture(_folder(folder / "in"), folder / "out", test_camera="1")


def test_a_camera_can_be_held_out(one_held_out: Capture) -> None:
    capture = one_held_out
    assert capture.metadata["split"] == {"mode": "camera", "value": "1", "train": 20, "test": 20}
    np.testing.assert_array_equal(capture.track["is_test"], capture.track["camera"] == 1)
    for name in ("expression", "joint_rot", "translation"):
        rows = capture.track[name]
        np.testing.assert_array_equal(rows[0::2], rows[1::2])


@pytest.mark.slow
def test_pixels_of_a_held_out_camera_change_no_training_array(one_held_out: Capture, tmp_path: Path) -> None:
    folder, plain = _folder(tmp_path / "in"), one_held_out
    for path in (folder / "images").glob("*_1.png"):
        image = cv2.imread(str(path))
        image[0, 0, 0] = 77  # other content, so other landmarks
        cv2.imwrite(str(path), image)
    other = _capture(folder, tmp_path / "other", test_camera="1")
    train = plain.train_indices
    np.testing.assert_array_equal(plain.track["identity"], other.track["identity"])
    for name in ("expression", "joint_rot", "translation", "landmarks"):
        np.testing.assert_array_equal(plain.track[name][train], other.track[name][train], err_msg=name)
    assert plain.metadata["cameras"] == other.metadata["cameras"]
    assert not np.array_equal(plain.track["landmarks"][1::2], other.track["landmarks"][1::2])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"test_camera": "7"}, "no camera '7'; there are 0, 1"),
        ({"test_camera": "1", "solve_cameras": True}, "cannot be estimated from the face"),
        ({"test_camera": "1", "test_every": 5}, "both given"),
        ({"test_camera": "1", "test_yaw": 15.0}, "both given"),
        ({"test_yaw": 15.0}, "--test-yaw is for a video of one camera; give --test-camera or --test-fraction instead"),
        ({"test_fraction": 0.9}, "4 training images, at least 16 are needed"),
    ],
)
def test_impossible_options_are_an_error(tmp_path: Path, options: dict, sentence: str) -> None:
    folder = _folder(tmp_path / "in")
    with pytest.raises(HeadsplatError, match=sentence):
        _capture(folder, tmp_path / "out", **options)


def test_a_camera_without_a_selected_image_is_dropped_with_a_warning(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in", steps=40)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"] = [f for f in content["frames"] if f["camera_index"] == 1 or f["timestep_index"] == 1]
    (folder / "transforms.json").write_text(json.dumps(content))
    views = read_layout(folder)
    plan = plan_views(views, CaptureOptions(max_frames=40))
    assert plan.cameras == ("1",) and {view.camera for view in plan.views} == {0}
    assert "no image of the camera 0 " in plan.warnings[0]
    with pytest.raises(HeadsplatError, match="the camera 0 has no image at the selected time steps"):
        plan_views(views, CaptureOptions(max_frames=40, test_camera="0"))


def test_the_digest_ignores_hidden_files_and_includes_frame_files(tmp_path: Path) -> None:
    (tmp_path / "a.frame").write_bytes(b"1")
    before = folder_digest(tmp_path)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert folder_digest(tmp_path) == before
    (tmp_path / "a.frame").write_bytes(b"2")
    assert folder_digest(tmp_path) != before


def test_a_capture_inside_its_source_is_an_error(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in", steps=1)
    with pytest.raises(HeadsplatError, match="is inside the folder that is captured"):
        _capture(folder, folder / "out")
