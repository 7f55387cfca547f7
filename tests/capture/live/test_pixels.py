"""Expressions of one frame changed by what its pixels show."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from capture.live.fit import Fit, Fitter
from capture.live.pixels import PixelFollower
from capture.tracker.clip import Person, TrackerOptions
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole, State

SIDE = 200


@pytest.fixture(scope="module")
def fitter() -> Fitter:
    head = load_head()
    model = LandmarkModel.from_head(head)
    camera = Pinhole(260.0, SIDE / 2, SIDE / 2)
    keys = np.zeros(0, dtype=int)
    person = Person(model, np.zeros(model.identity_size), camera, 0.3, False, 60.0, keys, np.eye(3), TrackerOptions())
    return Fitter.of(person, head)


def fits(fitter: Fitter, count: int) -> list[tuple[np.ndarray, Fit]]:
    """Frames of noise, and fits to them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        noise = cv2.GaussianBlur(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), (0, 0), 3)
        expression = rng.uniform(0, 0.4, len(fitter.person.model.names))
        state = State(np.eye(3), np.array([0.0, 0.04, -0.45]), expression)
        found.append((noise, Fit(state, np.zeros(2), 0.01)))
    return found


def test_expressions_change_once_the_calm_face_is_known(fitter: Fitter) -> None:
    head = load_head()
    follower = PixelFollower.for_head(head)
    assert follower is not None
    frames = fits(fitter, 16)
    changes = []
    for k, (rgb, fit) in enumerate(frames):
        follower.look(rgb, fitter, fit, 0.25 * k)
        tracked = fitter.parameters(fit)[0]
        expression = follower.changed(tracked)
        assert expression.min() >= 0 and expression.max() <= 1
        changes.append(expression - tracked)
    assert not np.any(changes[:9]) and all(np.abs(each).max() > 0.02 for each in changes[9:])
    moved = {head.expression_names[column] for column in np.flatnonzero(np.any(changes, axis=0))}
    assert moved <= set(ARKIT_52) and not any(name.startswith("eyeLook") for name in moved)
    follower.reset()
    rgb, fit = frames[0]
    follower.look(rgb, fitter, fit, 9.0)
    np.testing.assert_array_equal(follower.changed(tracked), tracked)


def test_a_head_without_arkits_expressions_is_not_followed() -> None:
    head = load_head()
    names = tuple(name.replace("cheekPuff", "puff") for name in head.expression_names)
    assert PixelFollower.for_head(replace(head, expression_names=names)) is None


def test_changes_stay_until_the_next_look(fitter: Fitter) -> None:
    follower = PixelFollower.for_head(load_head())
    assert follower is not None
    frames = fits(fitter, 14)
    for k, (rgb, fit) in enumerate(frames):
        follower.look(rgb, fitter, fit, 0.25 * k)
    rgb, fit = frames[-1]
    tracked = fitter.parameters(fit)[0]
    before = follower.changed(tracked)
    np.testing.assert_array_equal(follower.changed(tracked), before)
    follower.look(np.zeros_like(rgb), fitter, fit, 4.3)
    assert np.abs(follower.changed(tracked) - before).max() > 0.02
