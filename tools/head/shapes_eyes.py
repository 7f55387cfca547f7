"""Expressions of the lids (stage S9); the eyeballs are in `eyes`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatar.head.anatomy.indices import LID_LOWER, LID_UPPER
from avatar.head.anatomy.mesh import Floats

from .cage import Cage
from .lids import LID_REACH, LidTravel, follow_bags, lid_motion
from .spread import Handles

_BLINK = LidTravel(1, 1, outer_rise=0.3)
#: shapes of closing lids, which have a curved path
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
    """The small motion of the lids with a rotating eye; `inward` is 1 toward the nose, -1 away from it."""
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
    """Offsets [C,3] of the right eye's blinks from the linear path at weight 0.5.

    Lids move on arcs about the eyeball; a linear path would intersect it.
    """
    whole = _lids(cage, _BLINK)
    half = _lids(cage, replace(_BLINK, upper=0.5, lower=0.5))
    bend = cage.spreader.fill({vertex: half[vertex] - whole[vertex] / 2 for vertex in whole}, LID_REACH)
    return dict.fromkeys(_BLINKS, bend)
