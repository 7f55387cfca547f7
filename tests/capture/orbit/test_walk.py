"""Poses of a camera that is carried around a person, from points and faces with known truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from capture.orbit.adjust import Scene, Weights, adjust, place_camera
from capture.orbit.points import PointFollower, Tracks
from capture.orbit.views import close_circle
from capture.orbit.walk import Walk, solve_walk
from capture.tracker.camera import FocalPrior
from tests.capture.faces.landmark_fixture import make_model

MODEL = make_model()
FRAMES = 90
SIZE = (540, 720)
FOCAL = 700.0
CENTER = np.array(SIZE) / 2
MIDDLE = np.array([0.0, -0.02, -0.08])
VISIBLE = 0.25  # cosine between the normal of a point and its direction to the camera


def _look_from(angle: float, height: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """World to camera (OpenCV axes) of a camera that looks at the head from `angle` (radians) to the person's left."""
    eye = MIDDLE + distance * np.array([np.sin(angle), height, np.cos(angle)])
    forward = (MIDDLE - eye) / np.linalg.norm(MIDDLE - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return rotation, -rotation @ eye


@dataclass(frozen=True)
class Made:
    """A walk around points on a head, and what a follower would find."""

    rotation: np.ndarray  # [n,3,3]
    translation: np.ndarray  # [n,3]
    tracks: Tracks
    faces: dict[int, np.ndarray]


def _project(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    local = points @ rotation.T + translation
    return FOCAL * local[:, :2] / local[:, 2:] + CENTER


def _made() -> Made:
    rng = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, FRAMES, endpoint=False) + 0.01 * rng.standard_normal(FRAMES)
    heights = 0.1 * np.sin(angles * 1.5)
    poses = [_look_from(*pair, 0.75 + 0.03 * np.sin(3 * pair[0])) for pair in zip(angles, heights, strict=True)]
    normals = rng.standard_normal((500, 3)) * [1, 0.6, 1]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = MIDDLE + normals * np.where(rng.random(500) < 0.5, 0.11, 0.2)[:, None]
    seen: list[tuple[int, int, np.ndarray]] = []
    faces = {}
    for frame, (rotation, translation) in enumerate(poses):
        toward = -rotation.T @ translation - points
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        pixel = _project(points, rotation, translation) + 0.3 * rng.standard_normal((500, 2))
        facing = (normals * toward).sum(1)
        # As on an outline: points that turn away slide with it for some frames.
        pixel[facing < VISIBLE + 0.15] += 4.0
        seen += [(row, frame, pixel[row]) for row in np.flatnonzero(facing > VISIBLE)]
        if np.cos(angles[frame]) > 0.5:
            face = np.zeros((478, 3))
            face[:468, :2] = _project(MODEL.base, rotation, translation) + 1.5 * rng.standard_normal((468, 2))
            faces[frame] = face
    # A point that comes into view again is another one, except where the end is followed into the beginning.
    seen.sort(key=lambda entry: entry[:2])
    number: list[int] = []
    last = (-1, -1)
    for row, frame, _ in seen:
        starts = row != last[0] or frame > last[1] + 1
        number.append((number[-1] + 1 if starts else number[-1]) if number else 0)
        last = row, frame
    first = {row: at for at, (row, frame, _) in zip(number, seen, strict=True) if frame == 0}
    ends = {row: at for at, (row, frame, _) in zip(number, seen, strict=True) if frame == FRAMES - 1}
    closed = {at: first[row] for row, at in ends.items() if row in first}
    point = np.array([closed.get(at, at) for at in number])
    tracks = Tracks(point, np.array([frame for _, frame, _ in seen]), np.stack([pixel for *_, pixel in seen]))
    return Made(np.stack([r for r, _ in poses]), np.stack([t for _, t in poses]), tracks, faces)


@pytest.fixture(scope="module")
def made() -> Made:
    return _made()


@pytest.fixture(scope="module")
def walk(made: Made) -> Walk:
    prior = FocalPrior(1.06 * FOCAL, 0.35, "typical camera")
    return solve_walk(MODEL, made.tracks, made.faces, FRAMES, SIZE, prior)


def test_the_camera_is_found_in_frames_without_a_face(made: Made, walk: Walk) -> None:
    assert walk.placed.all()
    turns = [
        np.linalg.norm(log_rotation(found[:3, :3] @ true.T))
        for found, true in zip(walk.world_to_cam, made.rotation, strict=True)
    ]
    assert len(made.faces) < FRAMES // 2
    assert np.degrees(np.max(turns)) < 1.0


def test_the_focal_length_is_that_of_the_camera(walk: Walk) -> None:
    assert walk.focal == pytest.approx(FOCAL, rel=0.02)


def test_a_frame_without_points_is_not_placed(made: Made) -> None:
    rows = made.tracks.frame
    few = made.tracks.where((rows < 30) & (rows != 20))
    faces = {row: face for row, face in made.faces.items() if row < 30}
    found = solve_walk(MODEL, few, faces, 30, SIZE, FocalPrior(FOCAL, 0.05, "metadata"))
    assert np.flatnonzero(~found.placed).tolist() == [20]


def _small_scene() -> tuple[Scene, Tracks]:
    rng = np.random.default_rng(0)
    points = MIDDLE + 0.1 * rng.standard_normal((40, 3))
    poses = [_look_from(angle, 0.05, 0.8) for angle in (-0.3, 0.0, 0.3)]
    tracks = Tracks(
        np.tile(np.arange(40), 3), np.repeat(np.arange(3), 40), np.concatenate([_project(points, *p) for p in poses])
    )
    scene = Scene(
        np.stack([r for r, _ in poses]), np.stack([t for _, t in poses]), points, float(np.log(FOCAL)), CENTER
    )
    return scene, tracks


def test_an_adjustment_finds_moved_poses_and_points() -> None:
    truth, tracks = _small_scene()
    rng = np.random.default_rng(1)
    turn = exp_rotation(0.02 * rng.standard_normal((3, 3)))
    moved = Scene(
        turn @ truth.rotation, truth.translation + 0.01, truth.points + 0.003, truth.log_focal + 0.03, truth.center
    )
    weights = Weights(np.full(120, 0.5), np.arange(40), truth.points, 0.05, truth.log_focal, 0.1)
    found = adjust(moved, tracks, weights, np.ones(3, bool), 30, 1e-9)
    assert np.abs(found.errors(tracks)).max() < 0.02


def test_a_camera_is_placed_among_outliers() -> None:
    truth, tracks = _small_scene()
    seen = tracks.where(tracks.frame == 1)
    seen.pixel[:12] += 60
    rotation = truth.rotation.copy()
    rotation[1] = exp_rotation(np.array([0.0, 0.06, 0.02])) @ rotation[1]
    start = Scene(rotation, truth.translation, truth.points, truth.log_focal, truth.center)
    found, _ = place_camera(start, seen, np.full(40, 0.7), 1)
    assert np.degrees(np.linalg.norm(log_rotation(found @ truth.rotation[1].T))) < 0.1


def _texture(width: int) -> np.ndarray:
    noise = np.random.default_rng(2).integers(0, 255, (240, width), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2.0) * 3


def test_points_keep_their_numbers_while_the_image_moves() -> None:
    texture = _texture(400)
    follower = PointFollower()
    for frame in range(5):
        follower.add(np.ascontiguousarray(texture[:, 5 * frame : 5 * frame + 320]), frame)
    tracks = follower.tracks(2.0)
    long = np.bincount(tracks.point) == 5
    assert long.sum() > 50
    rows = np.isin(tracks.point, np.flatnonzero(long))
    first, last = (tracks.where(rows & (tracks.frame == frame)) for frame in (0, 4))
    moved = last.pixel[np.argsort(last.point)] - first.pixel[np.argsort(first.point)]
    np.testing.assert_allclose(np.median(moved, 0), [-40, 0], atol=0.2)


def test_the_end_of_a_walk_is_followed_into_its_beginning() -> None:
    texture = _texture(700)
    offsets = [*range(0, 200, 8), *range(200, -1, -8)]
    images = [np.ascontiguousarray(texture[:, at : at + 320]) for at in offsets]
    face = np.zeros((478, 3))
    face[:, :2] = np.random.default_rng(0).uniform(100, 200, (478, 2))
    faces = {row: face - [offset, 0, 0] for row, offset in enumerate(offsets) if offset < 60}
    closing = close_circle(images, faces, 1.0)
    assert closing is not None
    early = set(closing.point[closing.frame < 8]) & set(closing.point[closing.frame > len(images) - 8])
    assert len(early) > 30


def test_a_walk_that_ends_elsewhere_is_not_closed() -> None:
    face = np.zeros((478, 3))
    face[263] = [60, 0, 0]
    side = np.zeros((478, 3))
    side[263] = [30, 0, 50]
    images = [_texture(320)] * 12
    assert close_circle(images, {0: face, 11: side}, 1.0) is None
