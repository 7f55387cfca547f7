"""Expressions measured on landmarks: what the coach asks for is seen, on a turned face too, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from avatar.head import load_head
from capture.coach.face_state import FaceState
from capture.coach.measures import measured_expression
from capture.coach.requests import REQUESTS, Reading

#: Weights of the head model for what the coach asks for.
FACES = {
    "mouth open": {"jawOpen": 0.8},
    "smile": {
        "mouthSmileLeft": 0.9,
        "mouthSmileRight": 0.9,
        "mouthUpperUpLeft": 0.4,
        "mouthUpperUpRight": 0.4,
        "mouthLowerDownLeft": 0.25,
        "mouthLowerDownRight": 0.25,
    },
    "laugh": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.45},
    "pucker": {"mouthPucker": 0.9},
    "blinking": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "wink left": {"eyeBlinkLeft": 1.0},
    "wink right": {"eyeBlinkRight": 1.0},
    "brows up": {"browInnerUp": 0.9, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9},
    "brows down": {"browDownLeft": 0.9, "browDownRight": 0.9},
}
#: What shows something that was not asked for, too.
ALSO = {"laugh": {"smile"}}


@cache
def points(key: str = "", yaw: float = 0.0, scale: float = 1000.0) -> np.ndarray:
    """Landmarks [478,3] in pixels of the head model that does what is asked, turned by `yaw` degrees."""
    head = load_head()
    weights = torch.zeros(1, len(head.expression_names))
    for name, weight in FACES.get(key, {}).items():
        weights[0, head.expression_index(name)] = weight
    vertices = head.vertices(replace(head.neutral_params(), expression=weights))
    found = head.landmarks(vertices)[0].double().numpy()
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return np.asarray(found @ turn.T * [scale, -scale, -scale] + [320, 240, 0])


def reading(key: str, yaw: float = 0.0) -> Reading:
    """Of a face that does what is asked, relative to the face at rest."""
    rest = measured_expression(points())
    weights = {name: value - rest[name] for name, value in measured_expression(points(key, yaw)).items()}
    return Reading(FaceState(0.0), weights, yaw, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("yaw", [0.0, 15.0, -15.0])
@pytest.mark.parametrize("key", FACES)
def test_an_expression_shows_what_was_asked_for_and_no_more(key: str, yaw: float) -> None:
    now = reading(key, yaw)
    assert {name for name in FACES if REQUESTS[name].evidence(now, 0.1)} == {key} | ALSO.get(key, set())


@pytest.mark.parametrize("yaw", [0.0, 15.0, -15.0])
def test_a_face_at_rest_shows_nothing(yaw: float) -> None:
    assert all(abs(value) < 0.05 for value in reading("", yaw).weights.values())


def test_the_size_of_the_face_does_not_matter() -> None:
    near, far = measured_expression(points("smile")), measured_expression(points("smile", scale=300.0))
    assert far == pytest.approx(near, abs=1e-6)
