"""The inverse of linear blend skinning at one joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rest_displacements(
    points: Floats, displacements: Floats, weights: Floats, joint: Floats, rotation: Floats
) -> Floats:
    """Displacements [N,3] before the joint rotates that end, once it has rotated, where `displacements` end.

    Linear blend skinning moves a point by M = I + weight (rotation - I) about the joint; this is its inverse.

    Args:
        points: [N,3] in the rest pose.
        displacements: [N,3] after the rotation, in the unit of `points`.
        weights: [N] skin weight of the joint at each point.
        joint: [3] position of the joint.
        rotation: [3,3] of the joint.

    Returns:
        Displacements [N,3] in the rest pose, in the unit of `points`.
    """
    blend = np.eye(3) + weights[:, None, None] * (rotation - np.eye(3))
    ends = np.linalg.solve(blend, (points + displacements - joint)[..., None])[..., 0]
    return ends + joint - points
