"""Where a point of a skinned mesh has to be so that a turning joint brings it where it was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def before_the_turn(points: Floats, seen: Floats, shares: Floats, joint: Floats, turn: Floats) -> Floats:
    """Displacements [N,3] that, the joint then turned, end where the displacements `seen` end.

    Linear blend skinning moves a point by M = 1 + share (turn - 1) about the joint; this is its inverse.

    Args:
        points: [N,3] at rest.
        seen: [N,3] displacements, in the unit of `points`.
        shares: [N] how much of the turn each point follows.
        joint: [3] its place.
        turn: [3,3] rotation.
    """
    blend = np.eye(3) + shares[:, None, None] * (turn - np.eye(3))
    ends = np.linalg.solve(blend, (points + seen - joint)[..., None])[..., 0]
    return ends + joint - points
