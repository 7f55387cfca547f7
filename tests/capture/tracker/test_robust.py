"""Outliers and missing landmarks: pose and expression of a clip and of live frames without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from avatar.head import load_head
from capture.live.fit import MAX_ERROR, Fit, Fitter
from capture.tracker.camera import FocalPrior
from capture.tracker.clip import Observations, Person, TrackerOptions, fit_person, track_held_out, track_training
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.output import quality
from capture.tracker.problem import State
from capture.tracker.robust import inliers, rotation_between, trimmed_mean
from tests.capture.faces.landmark_fixture import CAMERA, make_states, observe, with_outliers

GIVEN = FocalPrior(CAMERA.focal, 0.01, "given")
CENTER = (CAMERA.cx, CAMERA.cy)
HEAD = load_head()
#: Fraction of outliers, whether they are displaced together, and the mean error of rotation allowed, degrees.
OUTLIERS = pytest.mark.parametrize(
    ("fraction", "together", "limit"), [(0.1, False, 1.0), (0.1, True, 1.0), (0.25, False, 2.0), (0.25, True, 2.0)]
)


def turns(found: list[State], truth: list[State]) -> np.ndarray:
    """Errors of rotation [T], degrees."""
    return np.degrees(
        [np.linalg.norm(log_rotation(a.rotation @ b.rotation.T)) for a, b in zip(found, truth, strict=True)]
    )


# ------------------------------------------------------------------------------------------------------------- a clip


@pytest.fixture(scope="module")
def clip() -> tuple[LandmarkModel, list[State], Observations]:
    model = LandmarkModel.from_head(HEAD)
    identity = np.random.default_rng(5).normal(size=model.identity_size) * 0.4
    truth = [replace(state, expression=0.6 * state.expression) for state in make_states(60, len(model.names))]
    return model, truth, observe(model, identity, truth, np.arange(60) / 30, noise=0.3)


@OUTLIERS
def test_outliers_hardly_move_the_poses_of_a_clip(clip, fraction: float, together: bool, limit: float) -> None:
    model, truth, seen = clip
    if fraction > 0.2 and together:  # no frame shows the person whole: identity takes a part of it
        limit = 3.0
    seen = replace(seen, points=with_outliers(seen.points, model.base, fraction, together=together))
    training, rest = seen[np.arange(48)], seen[np.arange(48, 60)]
    person = fit_person(model, training, GIVEN, CENTER)
    track = track_training(person, training)
    held_out = track_held_out(person, training, track, rest)
    assert turns([*track.states, *held_out.states], truth).mean() < limit
    assert np.nanmean(track.reprojection) < 0.02


def test_missing_landmarks_have_no_weight_in_a_clip(clip) -> None:
    model, truth, seen = clip
    points = seen.points.copy()
    points[np.random.default_rng(0).random(points.shape[:2]) < 0.2] = np.nan
    points[30] = np.nan  # a whole frame
    seen = replace(seen, points=points)
    person = fit_person(model, seen, GIVEN, CENTER)
    track = track_training(person, seen)
    assert turns(list(track.states), truth).mean() < 1.0
    assert np.isfinite(track.gaze).all()
    assert np.isfinite(list(quality(person, seen, track)["jitter"].values())).all()


def test_a_clip_without_outliers_uses_every_landmark(clip) -> None:
    model, _, seen = clip
    assert np.isfinite(track_training(fit_person(model, seen, GIVEN, CENTER), seen).reprojection).all()


# -------------------------------------------------------------------------------------------------------- live frames


@pytest.fixture(scope="module")
def live() -> tuple[Fitter, list[State], np.ndarray]:
    """The fitter of a known person, states and their landmarks [T,478,3]."""
    model = LandmarkModel.from_head(HEAD)
    identity = np.random.default_rng(0).normal(size=model.identity_size) * 0.4
    truth = [replace(state, expression=0.6 * state.expression) for state in make_states(60, len(model.names), 0.4)]
    person = Person(model, identity, CAMERA, 0.1, False, 110.0, np.zeros(0, int), np.eye(3), TrackerOptions())
    seen = observe(model, identity, truth, np.arange(60) / 30, noise=0.4)
    rotation = person.attitudes(seen) @ np.eye(3)
    offset = np.mean([a.T @ b.rotation for a, b in zip(rotation, truth, strict=True)], axis=0)
    u, _, vt = np.linalg.svd(offset)
    return Fitter.of(replace(person, attitude_offset=u @ vt), HEAD), truth, seen.points


def fits(fitter: Fitter, points: np.ndarray) -> list[Fit]:
    """Fits to frames, each from the one before unless that is lost."""
    found: list[Fit] = []
    for frame in points:
        previous = found[-1] if found and found[-1].error <= MAX_ERROR else None
        found.append(fitter(frame.astype(np.float32), previous))
    return found


@OUTLIERS
def test_outliers_hardly_move_a_live_pose_and_the_face_is_not_lost(
    live, fraction: float, together: bool, limit: float
) -> None:
    fitter, truth, points = live
    bad = with_outliers(points, fitter.person.model.base, fraction, together=together)
    found = fits(fitter, bad)
    assert turns([fit.state for fit in found], truth).mean() < limit
    assert max(fit.error for fit in found) < MAX_ERROR


def test_noise_of_some_landmarks_is_harmless(live) -> None:
    fitter, truth, points = live
    rng = np.random.default_rng(1)
    noisy = points.copy()
    noisy[..., :2] += rng.normal(0, 8, noisy[..., :2].shape) * (rng.random((*points.shape[:2], 1)) < 0.3)
    found = fits(fitter, noisy)
    assert turns([fit.state for fit in found], truth).mean() < 0.9
    assert max(fit.error for fit in found) < MAX_ERROR


def test_missing_landmarks_have_no_weight_live(live) -> None:
    fitter, truth, points = live
    holes = points.copy()
    holes[np.random.default_rng(0).random(points.shape[:2]) < 0.3] = np.nan
    found = fits(fitter, holes)
    assert turns([fit.state for fit in found], truth).mean() < 1.0
    assert max(fit.error for fit in found) < MAX_ERROR
    assert np.isfinite([fit.gaze for fit in found]).all()


@pytest.mark.parametrize("rest", [0, 3])
def test_a_frame_almost_without_landmarks_shows_no_face(live, rest: int) -> None:
    fitter, _, points = live
    holes = points[:2].copy()
    holes[1, rest:] = np.nan
    first, second = fits(fitter, holes)
    assert first.confidence(1.0) > 0
    assert second.confidence(1.0) == 0 or rest


def test_scattered_landmarks_are_no_face(live) -> None:
    fitter, _, points = live
    scattered = np.random.default_rng(0).uniform(100, 300, points[:3].shape)
    assert all(fit.error > MAX_ERROR for fit in fits(fitter, scattered))


def test_a_mouth_that_opens_within_a_frame_is_no_outlier(live) -> None:
    fitter, truth, _ = live
    model = fitter.person.model
    closed = replace(truth[0], expression=np.zeros(len(model.names)))
    opened = replace(closed, expression=np.where(np.array(model.names) == "jawOpen", 1.0, 0.0))
    points = observe(model, fitter.person.identity, [closed, opened, opened], np.arange(3) / 30).points
    assert fits(fitter, points)[-1].state.expression[model.names.index("jawOpen")] > 0.9


# ------------------------------------------------------------------------------------------------------- the weights


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.45), st.floats(0.0, 0.3))
def test_fewer_than_half_of_the_landmarks_are_outliers(seed: int, fraction: float, missing: float) -> None:
    rng = np.random.default_rng(seed)
    distance = np.abs(rng.normal(0, 0.02, 468))
    far = rng.random(468) < fraction
    distance[far] += 1.0
    distance[rng.random(468) < missing] = np.nan
    kept, seen = inliers(distance), np.isfinite(distance)
    assert not kept[~seen].any()
    assert 2 * kept.sum() >= seen.sum()
    if 2 * far[seen].sum() < seen.sum():
        assert (kept == (seen & ~far)).all()
    # A fit that explains only a part of the landmarks is none.
    share = far[seen].mean()
    if share < 0.25:
        assert trimmed_mean(distance) < 0.1
    if share > 0.4:
        assert trimmed_mean(distance) > 0.1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_a_rotation_is_found_beside_outliers_and_missing_points(seed: int, outliers: int, missing: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(26, 3)) * 0.04
    rotation = exp_rotation(rng.normal(size=3))
    target = 300 * source @ rotation.T + rng.normal(size=3)
    rows = rng.permutation(26)
    target[rows[:outliers]] += rng.normal(size=(outliers, 3)) * 30
    target[rows[outliers : outliers + missing]] = np.nan
    found = rotation_between(source, target, 0.01)
    if np.isfinite(found).all():
        assert np.degrees(np.linalg.norm(log_rotation(found @ rotation.T))) < 12
    if not outliers:
        np.testing.assert_allclose(found, rotation, atol=1e-6)


def test_a_rotation_that_a_majority_may_not_share_is_unknown() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(26, 3)) * 0.04
    target = source.copy()
    target[:10] += 0.1
    assert np.isnan(rotation_between(source, target, 0.01)).all()
    assert np.isnan(rotation_between(source, np.full((26, 3), np.nan), 0.01)).all()
