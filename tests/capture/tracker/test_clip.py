from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import capture.tracker.clip as clip_module
from avatar.geometry.block_banded import REFERENCE_STEP, difference_weights
from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from capture.tracker.camera import FocalPrior, focal_prior, may_release_focal
from capture.tracker.clip import TrackerOptions, fit_person, track_held_out, track_training
from capture.tracker.identity import choose_key_frames
from capture.tracker.output import jitter
from capture.tracker.problem import FitOptions, FrameProblem, State
from capture.tracker.smooth import accelerations, smooth_clip
from tests.capture.faces.landmark_fixture import CAMERA, make_model, make_states, observe

GIVEN = FocalPrior(CAMERA.focal, 0.01, "given")
CENTER = (CAMERA.cx, CAMERA.cy)


def _rotation_error(found: tuple[State, ...], truth: list[State]) -> float:
    turns = [log_rotation(a.rotation @ b.rotation.T) for a, b in zip(found, truth, strict=True)]
    return float(np.degrees(np.mean(np.linalg.norm(turns, axis=1))))


@pytest.fixture(scope="module")
def clip():
    model = make_model()
    identity = np.random.default_rng(5).normal(size=model.identity_size) * 0.7
    truth = make_states(60)
    return model, identity, truth, observe(model, identity, truth, np.arange(60) / 30, noise=0.3, gaze=(0.2, -0.1))


def test_pose_and_expression_of_a_known_person_are_recovered(clip):
    model, _, truth, seen = clip
    person = fit_person(model, seen, GIVEN, CENTER)
    track = track_training(person, seen)
    assert _rotation_error(track.states, truth) < 1.0
    found = np.stack([state.translation for state in track.states])
    assert np.abs(found - np.stack([state.translation for state in truth])).max() < 0.02
    weights = np.stack([state.expression for state in track.states])
    assert np.abs(weights - np.stack([state.expression for state in truth])).mean() < 0.06
    assert track.reprojection.mean() < 0.01


def test_gaze_is_estimated_from_the_irises(clip):
    model, _, _, seen = clip
    track = track_training(fit_person(model, seen, GIVEN, CENTER), seen)
    np.testing.assert_allclose(track.gaze.mean(0), [0.2, -0.1], atol=0.03)


def test_smoothing_reduces_jitter_and_keeps_reprojection(clip):
    model, _, _, seen = clip
    pixels_only = TrackerOptions(fit=FitOptions(attitude=0.0))  # the depth of the landmarks has little jitter
    track = track_training(fit_person(model, seen, GIVEN, CENTER, pixels_only), seen)
    before, after = jitter(track.unsmoothed_states, seen.time), jitter(track.states, seen.time)
    assert after["rotation_deg"] < 0.75 * before["rotation_deg"]
    assert after["depth_cm"] < 0.5 * before["depth_cm"]
    assert track.reprojection.mean() < 0.01


def test_smoothing_reduces_jitter_of_a_head_that_is_upside_down():
    # Rotation vectors of such poses are near pi, where they are discontinuous.
    model = make_model()
    truth = make_states(40, turn=0.2, roll=np.pi)
    seen = observe(model, np.zeros(model.identity_size), truth, np.arange(40) / 30, noise=0.5)
    problem = FrameProblem.create(model, np.zeros(model.identity_size), CAMERA, 100.0, FitOptions())
    noisy = [
        State(exp_rotation(np.random.default_rng(k).normal(0, 0.01, 3)) @ s.rotation, s.translation, s.expression)
        for k, s in enumerate(truth)
    ]
    smooth = smooth_clip(problem, noisy, seen.targets, np.ones((40, 468)), seen.time)
    assert jitter(smooth, seen.time)["rotation_deg"] < 0.3 * jitter(noisy, seen.time)["rotation_deg"]
    assert _rotation_error(tuple(smooth), truth) < 0.5


def test_constant_rotation_through_half_a_turn_has_no_acceleration():
    time = np.cumsum(np.array([1, 1, 3, 1, 2, 1, 1, 4, 1, 1]) / 30)
    states = [
        State(exp_rotation(np.array([0.0, 0.0, 2.6 + 1.5 * t])), np.array([0.1, 0, -1]) * t, np.zeros(2)) for t in time
    ]
    np.testing.assert_allclose(accelerations(states, difference_weights(time)[0]), 0, atol=1e-9)


def test_uneven_and_even_steps_have_the_same_acceleration():
    time = np.array([0.0, 0.03, 0.05, 0.12, 0.14, 0.21])
    coefficients, _ = difference_weights(time)
    values = 3.0 * time**2
    seen = sum(coefficients[:, k] * values[k : k + 4] for k in range(3))
    np.testing.assert_allclose(seen, 6.0 * REFERENCE_STEP**2, rtol=1e-9)


def test_fixed_frames_do_not_change(clip):
    model, identity, truth, seen = clip
    problem = FrameProblem.create(model, identity, CAMERA, 100.0, FitOptions())
    fixed = np.arange(len(truth)) % 5 != 4
    result = smooth_clip(problem, truth, seen.targets, np.ones((len(truth), 468)), seen.time, fixed)
    for index in np.flatnonzero(fixed):
        assert result[index] is truth[index]
    assert all(result[index] is not truth[index] for index in np.flatnonzero(~fixed))


@pytest.mark.parametrize("held_out", [np.arange(60) >= 48, np.arange(60) % 5 == 4], ids=["fraction", "every"])
def test_held_out_frames_are_tracked_with_identity_and_training_track_fixed(clip, held_out):
    model, _, truth, seen = clip
    training, rest = seen[~held_out], seen[held_out]
    person = fit_person(model, training, GIVEN, CENTER)
    track = track_training(person, training)
    found = track_held_out(person, training, track, rest)
    assert _rotation_error(found.states, [truth[k] for k in np.flatnonzero(held_out)]) < 1.5
    assert found.reprojection.mean() < 0.012


def test_the_focal_is_estimated_only_when_the_head_turns():
    model = make_model()
    identity = np.random.default_rng(5).normal(size=model.identity_size) * 0.5
    prior = FocalPrior(1.5 * CAMERA.focal, 0.35, "typical camera")
    turning = observe(model, identity, make_states(60, turn=0.6), np.arange(60) / 30)
    person = fit_person(model, turning, prior, CENTER)
    assert person.focal_released and person.camera.focal < 1.3 * CAMERA.focal
    assert person.focal_log_sigma < prior.log_sigma
    frontal = observe(model, identity, make_states(60, turn=0.1), np.arange(60) / 30)
    person = fit_person(model, frontal, prior, CENTER)
    assert not person.focal_released and person.camera.focal == pytest.approx(prior.focal, rel=1e-6)
    assert person.focal_log_sigma == prior.log_sigma


def _away_from_the_middle(states: list[State]) -> list[State]:
    """`states` in the lower part of the frame, going from side to side."""
    return [
        replace(state, translation=state.translation + np.array([0.25 * np.sin(k / 15), -0.25, 0.0]))
        for k, state in enumerate(states)
    ]


@pytest.mark.parametrize("wrong", [0.67, 1.5, 2.0])
def test_the_focal_of_a_turning_head_away_from_the_middle_is_found_from_a_wrong_prior(wrong):
    model = make_model()
    identity = np.random.default_rng(5).normal(size=model.identity_size) * 0.5
    truth = _away_from_the_middle(make_states(60, turn=0.6))
    seen = observe(model, identity, truth, np.arange(60) / 30, noise=0.3)
    person = fit_person(model, seen, FocalPrior(wrong * CAMERA.focal, 0.35, "typical camera"), CENTER)
    assert person.camera.focal == pytest.approx(CAMERA.focal, rel=0.06)


def test_rotations_are_measured_again_only_where_the_landmarks_fit_clearly_better(monkeypatch):
    model = make_model()
    identity = np.random.default_rng(5).normal(size=model.identity_size) * 0.5
    prior = FocalPrior(1.5 * CAMERA.focal, 0.35, "typical camera")

    def focals(states: list[State]) -> tuple[float, float]:
        seen = observe(model, identity, states, np.arange(60) / 30, noise=0.3)
        found = fit_person(model, seen, prior, CENTER).camera.focal
        with monkeypatch.context() as patch:
            patch.setattr(clip_module, "_REFITS", 0)
            return found, fit_person(model, seen, prior, CENTER).camera.focal

    found, once = focals(make_states(60, turn=0.6))
    assert found == once
    found, once = focals(_away_from_the_middle(make_states(60, turn=0.6)))
    assert abs(found - CAMERA.focal) < 0.5 * abs(once - CAMERA.focal)


def test_key_frames_are_distinct_and_cover_the_extremes(clip):
    _, _, truth, seen = clip
    yaw = np.array([np.arctan2(state.rotation[0, 2], state.rotation[2, 2]) for state in truth])
    keys = choose_key_frames(seen.points, np.column_stack([yaw, np.zeros(len(yaw))]), 12)
    assert len(set(keys.tolist())) == 12
    assert yaw[keys].max() > np.percentile(yaw, 90) and yaw[keys].min() < np.percentile(yaw, 10)


def test_focal_prior_prefers_given_values_and_metadata():
    assert focal_prior(1080, 1920, 26.0, 1234.0).focal == 1234.0
    assert focal_prior(1080, 1920, 26.0).origin == "metadata"
    phone, crop = focal_prior(1080, 1920), focal_prior(512, 512)
    assert phone.focal == pytest.approx(1.4 * 1080) and crop.focal == pytest.approx(3.0 * 512)
    assert phone.at_scale(0.5).focal == pytest.approx(0.7 * 1080)


def test_the_focal_needs_forty_degrees_of_yaw():
    assert may_release_focal(np.radians(np.linspace(-22, 22, 100)))
    assert not may_release_focal(np.radians(np.linspace(-15, 15, 100)))
