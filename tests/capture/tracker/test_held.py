"""Hidden regions of a clip: their landmarks have no weight, and their expression lies between the frames around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatar.head import load_head
from avatar.head.arkit import region_columns
from capture.tracker.clip import Observations, fit_person, track_held_out, track_training
from capture.tracker.held import held_angles, held_expressions
from capture.tracker.indices import HIDEABLE_LANDMARKS
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import State
from tests.capture.faces.landmark_fixture import make_states, observe
from tests.capture.tracker.test_clip import CENTER, GIVEN
from tests.capture.tracker.test_robust import turns

MODEL = LandmarkModel.from_head(load_head())
COUNT = 60
TIME = np.arange(COUNT) / 30
HIDDEN = np.arange(COUNT)[20:32]


@pytest.fixture(scope="module")
def covered() -> tuple[list[State], Observations]:
    """True states whose mouth rests while something is before it, and landmarks that show it wide open then."""
    truth = [replace(state, expression=0.5 * state.expression) for state in make_states(COUNT, len(MODEL.names), 0.3)]
    columns = region_columns(MODEL.names, "mouth")
    for state in truth:
        state.expression[columns] = 0.0
        state.expression[MODEL.names.index("mouthSmileLeft")] = 0.3
    guessed = [replace(state, expression=state.expression.copy()) for state in truth]
    for frame in HIDDEN:
        guessed[frame].expression[MODEL.names.index("jawOpen")] = 0.9
    identity = np.random.default_rng(5).normal(size=MODEL.identity_size) * 0.4
    return truth, observe(MODEL, identity, guessed, TIME, noise=0.3)


def marked(seen: Observations) -> Observations:
    mask = np.isin(np.arange(COUNT), HIDDEN)
    return replace(seen, hidden={"mouth": mask, "eyes": np.zeros(COUNT, dtype=bool)})


def jaw(states: list[State]) -> np.ndarray:
    return np.array([state.expression[MODEL.names.index("jawOpen")] for state in states])


def test_the_expression_of_a_hidden_mouth_is_that_around_and_the_pose_goes_on(covered) -> None:
    truth, seen = covered
    wrong, right = (track_training(fit_person(MODEL, each, GIVEN, CENTER), each) for each in (seen, marked(seen)))
    assert jaw(list(wrong.states))[HIDDEN].max() > 0.5
    assert jaw(list(right.states))[HIDDEN].max() < 0.1
    assert turns(list(right.states), truth).max() < 1.0
    assert np.isnan(right.reprojection[HIDDEN][:, HIDEABLE_LANDMARKS["mouth"]]).all()
    assert np.isfinite(right.gaze).all()


def test_held_out_frames_are_held_between_training_frames(covered) -> None:
    _, seen = covered
    seen = marked(seen)
    rest = np.arange(COUNT)[22:30]
    training = seen[np.setdiff1d(np.arange(COUNT), rest)]
    person = fit_person(MODEL, training, GIVEN, CENTER)
    track = track_held_out(person, training, track_training(person, training), seen[rest])
    assert jaw(list(track.states)).max() < 0.1


def test_other_regions_and_a_region_that_is_never_seen_stay_as_they_are() -> None:
    names = ("jawOpen", "browInnerUp")
    states = [State(np.eye(3), np.zeros(3), np.array([k / 4, k / 4])) for k in range(5)]
    hidden = {"mouth": np.array([False, True, True, True, False]), "eyes": np.ones(5, dtype=bool)}
    states[2] = replace(states[2], expression=np.array([9.0, 0.9]))
    found = np.stack([state.expression for state in held_expressions(names, states, hidden, np.arange(5.0))])
    np.testing.assert_allclose(found, [[0, 0], [0.25, 0.25], [0.5, 0.9], [0.75, 0.75], [1, 1]])


def test_the_gaze_of_hidden_eyes_is_that_around_in_any_order_of_frames() -> None:
    angles = np.array([[0.3, 0.0], [np.nan, np.nan], [0.1, 0.2]])
    hidden = {"eyes": np.array([False, True, False])}
    np.testing.assert_allclose(held_angles(angles, hidden, np.array([2.0, 1.0, 0.0]))[1], [0.2, 0.1])
