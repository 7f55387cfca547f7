"""Linear blend skinning: its inverse at one joint, and rows of a joint regressor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def joint_regressor_weights(vertices: NDArray[np.floating], joint: NDArray[np.floating]) -> NDArray[np.float64]:
    """The minimum-norm weights [N] over `vertices` [N,3] that sum to 1 and whose weighted mean is `joint` [3]."""
    equations = np.vstack([vertices.T, np.ones(len(vertices))]).astype(np.float64)
    return equations.T @ np.linalg.solve(equations @ equations.T, np.append(joint, 1.0))


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
