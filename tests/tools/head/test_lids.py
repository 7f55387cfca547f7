"""The path of lids between open and closed."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.head.anatomy import base
from avatar.head.anatomy.indices import LID_LOWER, LID_UPPER
from tools.head.cage import Cage, build_cage
from tools.head.expressions import NAMES, skin_curves, skin_shapes
from tools.head.jaw import skin_weights
from tools.head.lids import CLOSED_CLEARANCE, EYE_RADIUS

CORNEA = 1.20 * 1.045  # cm, the eyeball's radius at its bulge
EDGE = (*LID_UPPER[1:-1], *LID_LOWER[1:-1])
BLINKS = ("eyeBlinkRight", "eyelidRight")


@pytest.fixture(scope="module")
def cage() -> Cage:
    return build_cage(base.load())


@pytest.fixture(scope="module")
def shapes(cage: Cage) -> np.ndarray:
    return skin_shapes(cage, skin_weights(cage))


def _blinked(cage: Cage, shapes: np.ndarray, name: str, weight: float) -> np.ndarray:
    """Cage vertices [C,3] of a blink with its curve."""
    return cage.vertices + weight * shapes[NAMES.index(name)] + 4 * weight * (1 - weight) * skin_curves(cage)[name]


@pytest.mark.parametrize("name", BLINKS)
@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_lid_edges_keep_their_distance_from_the_eyeball(
    cage: Cage, shapes: np.ndarray, name: str, weight: float
) -> None:
    """Their distance to the eyeball's center is interpolated linearly between open and closed, within 0.1 mm."""
    center = cage.eye_center
    start, end, now = (
        np.linalg.norm(_blinked(cage, shapes, name, part)[list(EDGE)] - center, axis=1) for part in (0, 1, weight)
    )
    assert np.abs(now - (start + (end - start) * weight)).max() < 0.01
    assert now.min() >= CORNEA + 0.02
    assert end.max() < max(EYE_RADIUS + CLOSED_CLEARANCE, start.max()) + 0.01


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.75])
def test_the_lower_lid_travels_much_less_than_the_upper(cage: Cage, shapes: np.ndarray, weight: float) -> None:
    traveled = np.linalg.norm(_blinked(cage, shapes, "eyeBlinkRight", weight) - cage.vertices, axis=1)
    assert traveled[145] < 0.4 * traveled[159]


def test_only_blinks_are_curved_and_left_mirrors_right(cage: Cage) -> None:
    curves = skin_curves(cage)
    assert set(curves) == {f"{name}{side}" for name in ("eyeBlink", "eyelid") for side in ("Left", "Right")}
    for name in BLINKS:
        mirrored = (curves[name] * [-1, 1, 1])[cage.mirror]
        assert np.array_equal(mirrored, curves[name.replace("Right", "Left")])


@pytest.mark.parametrize("name", ["browDownRight", "browOuterUpRight", "browInnerUp"])
def test_a_moving_brow_does_not_push_the_lid_into_its_inner_side(cage: Cage, shapes: np.ndarray, name: str) -> None:
    """The rows of the upper lid move with the brow; too deep, the lid's dark inner side would be visible."""
    rows = [row for row, (edge, _, _) in cage.folds.items() if edge in LID_UPPER]
    assert len(rows) > 10
    before = np.linalg.norm(cage.vertices[rows] - cage.eye_center, axis=1)
    after = np.linalg.norm((cage.vertices + shapes[NAMES.index(name)])[rows] - cage.eye_center, axis=1)
    assert (after - before).min() > -0.002
