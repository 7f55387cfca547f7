"""Expressions of the lids (stage S9); the eyeballs' own part is in `parts`."""

from __future__ import annotations

import numpy as np

from .cage import Cage
from .indices import LID_LOWER, LID_UPPER
from .lids import LID_REACH, LidTravel, follow_bags, lid_motion
from .mesh import Floats
from .spread import Handles

#: name, travel of the lids, reach in cm
_LID_SHAPES = (
    ("eyeBlink", LidTravel(1, 1), LID_REACH),
    ("eyelid", LidTravel(1, 1), LID_REACH),
    ("eyeSquint", LidTravel(0.12, 1.35, (0.7, 0.5), (1.2, 1.0)), 2.2),
    ("eyeWide", LidTravel(-0.50, -0.5, (0.8, 0.5), (0.6, 0.3)), 2.0),
    ("eyeLookDown", LidTravel(0.55, -0.9, (0.5, 0.1), (0.6, 0.3)), 1.8),
    ("eyeLookUp", LidTravel(-0.2, 0.6, (0.5, 0.3), (0.6, 0.3)), 1.8),
)


def _look_aside(cage: Cage, inward: float) -> Floats:
    """The lids dragged a little by the turning eye; `inward` is 1 towards the nose, -1 away."""
    edge = LID_UPPER[1:-1] + LID_LOWER[1:-1]
    handles: Handles = {vertex: np.array([inward * 0.05, 0, 0.02]) for vertex in edge}
    follow_bags(handles, cage.vertices, cage.bags, cage.eye_centre, edge)
    return cage.spreader.fill(handles, 1.2)


def blink_curve(cage: Cage) -> Floats:
    """Displacements [C,3] from the straight way of a half closed right eye's lids to the arc about the eyeball."""
    half, whole = (
        lid_motion(cage.vertices, cage.bags, cage.eye_centre, LidTravel(w, w), cage.folds) for w in (0.5, 1.0)
    )
    return cage.spreader.fill({vertex: half[vertex] - 0.5 * move for vertex, move in whole.items()}, LID_REACH)


def right_side(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the right eye's shapes by name without the side."""
    shapes = {"eyeLookIn": _look_aside(cage, 1), "eyeLookOut": _look_aside(cage, -1)}
    for name, travel, reach in _LID_SHAPES:
        handles = lid_motion(cage.vertices, cage.bags, cage.eye_centre, travel, cage.folds)
        shapes[name] = cage.spreader.fill(handles, reach)
    return shapes
