"""Lids of the tracked head meet in frames whose landmarks show closed eyes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatar.geometry.numpy_rotations import exp_rotation
from avatar.head import load_head
from capture.tracker.clip import Observations, fit_person, track_held_out, track_training
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.lids import CLOSED, OPEN, OVERLAP, lid_openings, usual_openings, with_closed_lids
from capture.tracker.problem import FitOptions, FrameProblem, State
from tests.capture.faces.landmark_fixture import CAMERA
from tests.capture.tracker.test_clip import CENTER, GIVEN


@pytest.fixture(scope="module")
def problem() -> FrameProblem:
    model = LandmarkModel.from_head(load_head())
    return FrameProblem.create(model, np.zeros(model.identity_size), CAMERA, 100.0, FitOptions())


def state(problem: FrameProblem, yaw: float = 0.0, **weights: float) -> State:
    expression = np.zeros(len(problem.model.names))
    for name, weight in weights.items():
        expression[problem.model.names.index(name)] = weight
    return State(exp_rotation(np.array([0.0, yaw, 0.0])), np.array([0.0, 0.0, -0.6]), expression)


def blinking(problem: FrameProblem, right: float, left: float, yaw: float = 0.0, **weights: float) -> State:
    return state(problem, yaw, eyeBlinkRight=right, eyeBlinkLeft=left, **weights)


def seen(problem: FrameProblem, states: list[State]) -> np.ndarray:
    return np.stack([problem.reproject(each) for each in states])


def openings(problem: FrameProblem, states: list[State]) -> np.ndarray:
    return lid_openings(problem, states, seen(problem, states))


USUAL = np.ones(2)


def test_openings_are_relative_to_the_neutral_head_in_any_pose(problem: FrameProblem) -> None:
    for yaw in (-0.5, 0.0, 0.5):
        states = [blinking(problem, blink, blink, yaw) for blink in (0.0, 0.5, 1.0)]
        np.testing.assert_allclose(openings(problem, states)[0], 1.0, atol=1e-9)
        np.testing.assert_allclose(openings(problem, states)[2], 0.0, atol=0.12)
        assert (np.diff(openings(problem, states), axis=0) < -0.3).all()


@pytest.mark.parametrize("yaw", [0.0, 0.4])
def test_lids_meet_where_the_landmarks_show_closed_eyes(problem: FrameProblem, yaw: float) -> None:
    frame = seen(problem, [blinking(problem, 0.92, 0.92, yaw)])
    assert (lid_openings(problem, [state(problem, yaw)], frame) < CLOSED).all()
    tracked = blinking(problem, 0.7, 0.75, yaw, eyeWideLeft=0.2)
    (closed,) = with_closed_lids(problem, [tracked], frame, USUAL)
    np.testing.assert_allclose(openings(problem, [closed]), OVERLAP, atol=0.12)
    assert closed.expression[problem.model.names.index("eyeWideLeft")] == 0
    assert (closed.expression <= problem.model.limits[1]).all()
    assert np.array_equal(closed.rotation, tracked.rotation)


def test_open_eyes_do_not_change(problem: FrameProblem) -> None:
    open_eyes = [blinking(problem, blink, blink, eyeWideLeft=0.1) for blink in (0.0, 0.3, 0.5)]
    frames = seen(problem, open_eyes)
    assert (lid_openings(problem, open_eyes, frames) > OPEN).all()
    for before, after in zip(open_eyes, with_closed_lids(problem, open_eyes, frames, USUAL), strict=True):
        np.testing.assert_array_equal(before.expression, after.expression)


def test_a_wink_closes_one_eye(problem: FrameProblem) -> None:
    (winking,) = with_closed_lids(
        problem, [blinking(problem, 0.7, 0.0)], seen(problem, [blinking(problem, 0.95, 0.0)]), USUAL
    )
    right, left = openings(problem, [winking])[0]
    assert right < 0.1 and left == pytest.approx(1.0)


def test_lids_close_more_the_less_the_landmarks_show(problem: FrameProblem) -> None:
    weights = np.linspace(0.5, 1.0, 11)
    frames = seen(problem, [blinking(problem, weight, weight) for weight in weights])
    tracked = [blinking(problem, 0.6, 0.6)] * len(weights)
    found = with_closed_lids(problem, tracked, frames, USUAL)
    blinks = np.array([each.expression[problem.model.names.index("eyeBlinkRight")] for each in found])
    assert (np.diff(blinks) >= -1e-9).all() and blinks[0] == 0.6 and blinks[-1] > 0.9


def test_narrow_eyes_are_compared_with_their_own_usual_opening(problem: FrameProblem) -> None:
    narrow = [blinking(problem, 0.65, 0.65)] * 8
    frames = seen(problem, narrow)
    usual = usual_openings(problem, narrow, frames)
    assert (usual < 0.5).all()
    for before, after in zip(narrow, with_closed_lids(problem, narrow, frames, usual), strict=True):
        np.testing.assert_array_equal(before.expression, after.expression)


def test_a_head_without_blinks_and_a_clip_without_frames_are_left_alone(problem: FrameProblem) -> None:
    model = problem.model
    names = tuple(name.replace("eyeBlink", "other") for name in model.names)
    bare = replace(problem, model=replace(model, names=names))
    closed = [blinking(problem, 0.9, 0.9)]
    assert with_closed_lids(bare, closed, seen(problem, closed), USUAL) == closed
    assert with_closed_lids(problem, [], np.zeros((0, 468, 2)), USUAL) == []


def test_blinks_of_a_clip_close_in_training_and_held_out_frames(problem: FrameProblem) -> None:
    blink = np.clip(1.25 * np.sin(np.arange(48) / 4) ** 8, 0, 0.92)
    truth = [blinking(problem, weight, weight, 0.3 * np.sin(k / 7)) for k, weight in enumerate(blink)]
    points = np.zeros((48, 478, 3))
    points[:, :468, :2] = seen(problem, truth)
    clip = Observations(points, np.zeros((48, 478)), np.ones(48), np.arange(48) / 30)
    training, held_out = clip[np.arange(32)], clip[np.arange(32, 48)]
    person = fit_person(problem.model, training, GIVEN, CENTER)
    track = track_training(person, training)
    unseen = track_held_out(person, training, track, held_out)
    closed = blink > 0.9
    for states, rows in ((track.states, slice(0, 32)), (unseen.states, slice(32, 48))):
        found = openings(person.problem(), list(states))
        assert closed[rows].sum() > 1
        assert (found[closed[rows]] < 0.08).all()
        assert (found[blink[rows] < 0.1] > 0.8).all()
