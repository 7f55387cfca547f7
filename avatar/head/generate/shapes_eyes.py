"""Expressions of the lids (stage S9); the eyeballs' own part is in `parts`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .cage import Cage
from .indices import LID_LOWER, LID_UPPER
from .lids import LID_REACH, LidTravel, follow_bags, lid_motion
from .mesh import Floats
from .spread import Handles

_BLINK = LidTravel(1, 1, outer_rise=0.3)
#: shapes of closing lids, which bend on their way
_BLINKS = ("eyeBlink", "eyelid")
#: name, travel of the lids, reach in cm
_LID_SHAPES = (
    *((name, _BLINK, LID_REACH) for name in _BLINKS),
    ("eyeSquint", LidTravel(0.20, 1.55, (0.7, 0.5), (1.2, 1.0)), 2.2),
    ("eyeWide", LidTravel(-0.58, -0.6, (0.8, 0.5), (0.6, 0.3)), 2.0),
    ("eyeLookDown", LidTravel(0.50, -1.5, (0.5, 0.1), (0.8, 0.5)), 1.8),
    ("eyeLookUp", LidTravel(-0.32, 0.7, (0.6, 0.35), (0.6, 0.3)), 1.8),
)


def _lids(cage: Cage, travel: LidTravel) -> Handles:
    return lid_motion(cage.vertices, cage.bags, cage.eye_center, travel, cage.folds)


def _look_aside(cage: Cage, inward: float) -> Floats:
    """The lids dragged a little by the turning eye; `inward` is 1 towards the nose, -1 away."""
    edge = LID_UPPER[1:-1] + LID_LOWER[1:-1]
    handles: Handles = {vertex: np.array([inward * 0.05, 0, 0.02]) for vertex in edge}
    follow_bags(handles, cage.vertices, cage.bags, cage.eye_center, edge)
    return cage.spreader.fill(handles, 1.2)


def right_side(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the right eye's shapes by name without the side."""
    shapes = {"eyeLookIn": _look_aside(cage, 1), "eyeLookOut": _look_aside(cage, -1)}
    for name, travel, reach in _LID_SHAPES:
        shapes[name] = cage.spreader.fill(_lids(cage, travel), reach)
    return shapes


def right_curves(cage: Cage) -> dict[str, Floats]:
    """How far [C,3] the right eye's blinks at half weight are from the straight line between open and closed.

    Lids travel on arcs about the eyeball; the chord would cut through it, or the closed lid would have to stand off.
    """
    whole = _lids(cage, _BLINK)
    half = _lids(cage, replace(_BLINK, upper=0.5, lower=0.5))
    bend = cage.spreader.fill({vertex: half[vertex] - whole[vertex] / 2 for vertex in whole}, LID_REACH)
    return dict.fromkeys(_BLINKS, bend)
