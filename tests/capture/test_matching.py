"""Photos solved together: exact landmarks and matches, and matches found in rendered images."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator

from avatar.common.image_io import write_image
from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from avatar.head import load_head
from capture.matching import FaceMesh, PhotoMatcher
from capture.photos import open_photos
from capture.stages.landmarks import LandmarkTable
from capture.stages.photos import geometry_sentence, solve_photos
from capture.tracker.camera import FILM_DIAGONAL
from capture.tracker.clip import Observations
from capture.tracker.indices import FACE_COUNT
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.photos import Match, PhotoFit, PhotoOptions, fit_photos
from capture.tracker.problem import Pinhole, State

SIZE = 480
YAW = (-0.5, 0.03, 0.45)
#: Focal lengths in pixels and distances in meters: the face is equally large in all photos.
FOCALS = (450.0, 650.0, 1100.0)
DISTANCES = (0.45, 0.65, 1.1)


@cache
def head_mesh() -> tuple[LandmarkModel, FaceMesh]:
    head = load_head()
    model = LandmarkModel.from_head(head)
    return model, FaceMesh.from_head(head, model)


def truth() -> PhotoFit:
    """Three photos of a person, by three cameras."""
    model, _ = head_mesh()
    identity = np.random.default_rng(3).normal(0, 0.4, model.identity_size)
    states = []
    for yaw, distance in zip(YAW, DISTANCES, strict=True):
        rotation = exp_rotation(np.array([0.05, 0.0, 0.02])) @ exp_rotation(np.array([0.0, yaw, 0.0]))
        states.append(State(rotation, np.array([0.01, 0.02, -distance]), np.zeros(len(model.names))))
    cameras = tuple(Pinhole(focal, SIZE / 2, SIZE / 2) for focal in FOCALS)
    return PhotoFit(identity, cameras, np.zeros(3), tuple(states))


def landmarks(fit: PhotoFit) -> np.ndarray:
    """Exact landmarks [3,478,3]."""
    model, _ = head_mesh()
    points = np.zeros((len(fit.states), 478, 3))
    for row, (state, camera) in enumerate(zip(fit.states, fit.cameras, strict=True)):
        world = model.posed_landmarks(fit.identity, state.expression) @ state.rotation.T + state.translation
        points[row, :FACE_COUNT, :2] = camera.project(world)
    return points


def exact_matches(fit: PhotoFit) -> list[Match]:
    """Where the first and third photo show points of the second."""
    _, mesh = head_mesh()
    seen = [mesh.seen(fit.identity, *pair) for pair in zip(fit.states, fit.cameras, strict=True)]
    matches = []
    for other in (0, 2):
        both = np.flatnonzero((seen[other][1] > 0.3) & (seen[1][1] > 0.3))[::3]
        pixels = np.stack([seen[other][0][both], seen[1][0][both]], 1)
        matches.append(Match((other, 1), both, pixels, np.ones(len(both))))
    return matches


def rotation_errors(fit: PhotoFit, true: PhotoFit) -> np.ndarray:
    """Degrees [K]."""
    pairs = zip(fit.states, true.states, strict=True)
    return np.degrees([np.linalg.norm(log_rotation(a.rotation @ b.rotation.T)) for a, b in pairs])


def test_exact_photos_give_their_focal_lengths_and_poses() -> None:
    model, mesh = head_mesh()
    true = truth()
    matches = exact_matches(true)
    typical = [replace(camera, focal=700.0) for camera in true.cameras]
    options = PhotoOptions(identity_prior=1e-3, landmarks=1.0, surface_sigma=1e-5, mobility=0.0, rounds=3)
    points = landmarks(true)
    fit = fit_photos(
        model, mesh.surface, points, np.zeros((3, 478)), typical, np.full(3, 1.0), lambda _: matches, options
    )
    np.testing.assert_allclose([camera.focal for camera in fit.cameras], FOCALS, rtol=0.02)
    assert rotation_errors(fit, true).max() < 0.5
    assert fit.match_error < 0.1


def test_matches_correct_poses_of_biased_landmarks() -> None:
    model, mesh = head_mesh()
    true = truth()
    points = landmarks(true)
    rng = np.random.default_rng(0)
    for row in range(3):  # smooth errors of 4 % of the inter-ocular distance, others in each view
        stretch = np.eye(2) + rng.normal(0, 0.04, (2, 2))
        center = points[row, :FACE_COUNT, :2].mean(0)
        points[row, :FACE_COUNT, :2] = (points[row, :FACE_COUNT, :2] - center) @ stretch.T + center
    arguments = (model, mesh.surface, points, np.zeros((3, 478)), true.cameras, np.full(3, 0.05))
    alone = fit_photos(*arguments, lambda _: [])
    matched = fit_photos(*arguments, lambda _: exact_matches(true))

    def relative(fit: PhotoFit) -> float:
        """Degrees between the first and the last photo that are wrong."""
        turn, right = (each.states[0].rotation.T @ each.states[2].rotation for each in (fit, true))
        return float(np.degrees(np.linalg.norm(log_rotation(turn @ right.T))))

    assert relative(matched) < 0.5 * relative(alone)
    assert relative(matched) < 1.0


def skin_photos(true: PhotoFit) -> list[np.ndarray]:
    """Photos of a face with spots: the middle one is noise, the others show it through the geometry."""
    _, mesh = head_mesh()
    rng = np.random.default_rng(5)
    spots = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 2.5)
    middle = np.clip(128 + 45 * spots / spots.std(), 0, 255).astype(np.uint8)
    seen = [mesh.seen(true.identity, *pair) for pair in zip(true.states, true.cameras, strict=True)]
    grid = np.stack(np.meshgrid(*(np.arange(SIZE) + 0.5,) * 2), -1)
    images = []
    for pixels, facing in seen:
        both = (facing > 0.1) & (seen[1][1] > 0.1)
        at = LinearNDInterpolator(pixels[both], seen[1][0][both], -100.0)(grid).astype(np.float32) - 0.5
        gray = cv2.remap(middle, at, None, cv2.INTER_CUBIC, borderValue=128)
        images.append(np.repeat(gray[..., None], 3, 2))
    return images


def test_photos_of_skin_are_matched_through_a_wrong_fit() -> None:
    _, mesh = head_mesh()
    true = truth()
    matcher = PhotoMatcher(mesh, skin_photos(true), landmarks(true))
    turned = exp_rotation(np.array([0.0, np.radians(3.0), 0.0]))
    states = (replace(true.states[0], rotation=turned @ true.states[0].rotation), *true.states[1:])
    matches = matcher.find(replace(true, states=states))
    assert {match.photos for match in matches} >= {(0, 1), (2, 1)}
    seen = [mesh.seen(true.identity, *pair)[0] for pair in zip(true.states, true.cameras, strict=True)]
    for match in matches:
        first, second = match.photos
        if second != 1:
            continue
        right = LinearNDInterpolator(seen[second], seen[first])(match.pixels[:, 1])
        error = np.linalg.norm(match.pixels[:, 0] - right, axis=1)
        assert len(error) > 150
        assert np.nanmedian(error) < 0.5


def test_photo_files_become_frames_of_one_camera_in_which_the_poses_found_fit(tmp_path: Path) -> None:
    model, _ = head_mesh()
    true = truth()
    cut = SIZE // 8  # above and below: 4:3 photos have a typical camera
    points = landmarks(true)
    points[:, :FACE_COUNT, 1] -= cut
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path, image in zip(paths, skin_photos(true), strict=True):
        write_image(path, np.ascontiguousarray(image[cut:-cut]))
    video = open_photos(paths)
    assert video.factors == (1.0, 1.0, 1.0)
    table = LandmarkTable([0, 1, 2], [0.0, 1e3, 2e3], list(points), [np.zeros(478)] * 3, [1.0] * 3)
    table.person = [0] * 3
    table.signature = table.roi = [np.zeros(4)] * 3
    solved = solve_photos(load_head(), video, table)
    assert solved is not None
    size = np.array([solved.video.width, solved.video.height])
    seen = Observations(np.stack(solved.training.points), np.zeros((3, 478)), np.ones(3), np.array(table.time))
    person, track = solved.track(model, seen, tuple(size / 2), 1.0)
    assert np.nanmean(track.reprojection) < 0.02
    assert person.camera.focal == pytest.approx(solved.video.prior.focal)
    found = [photo["focal_35mm"] for photo in solved.metadata["photos"]]
    right = np.array(FOCALS) * FILM_DIAGONAL / np.hypot(SIZE, SIZE - 2 * cut)
    assert found[0] < found[1] < found[2]
    assert np.abs(np.log(found / right)).max() < 0.5 * np.abs(np.log(504 / np.array(FOCALS))).max()
    assert rotation_errors(replace(solved.fit, states=track.states), true).max() < 2.5
    text = geometry_sentence(solved.metadata)
    assert re.search(
        r"points match to 0\.\d % of the inter-ocular distance; .*: a\.png \d+ \+- \d+ mm \(found\), b", text
    )
    stated = {**solved.metadata["photos"][0], "focal_stated": True, "focal_35mm": 26.0}
    assert geometry_sentence({**solved.metadata, "photos": [stated]}).endswith(": a.png 26 mm (EXIF)")


@pytest.mark.parametrize("level", [0, 128])
def test_photos_without_texture_have_no_matches(level: int) -> None:
    _, mesh = head_mesh()
    true = truth()
    plain = [np.full((SIZE, SIZE, 3), level, np.uint8)] * 3
    assert PhotoMatcher(mesh, plain, landmarks(true)).find(true) == []
