"""Redundant gaze and jaw: eyeLook and jaw weights, which rotate joints, and the joint rotations themselves.

ARKit gives both. Its angles repeat its weights, 31 to 35 degrees per unit, plus a constant 4 degrees outward for each
eye. Our heads rotate the eyes by the weights with their own degrees per unit, and look straight ahead at rest. So a
file's weights are used as the gaze and its angles are ignored; only where a file has angles but no weights are the
angles used as joint rotations. When writing, everything goes into the weights, since other programs read those, and the
angles repeat them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

Floats = NDArray[np.floating]

#: (joint, axis, name for positive rotation, name for negative rotation, degrees of each at weight 1) of our heads.
#: No weight rotates the jaw upward.
_ROTATIONS = (
    (LEFT_EYE, 0, "eyeLookDownLeft", "eyeLookUpLeft", 26.0, 22.0),
    (LEFT_EYE, 1, "eyeLookOutLeft", "eyeLookInLeft", 28.0, 28.0),
    (RIGHT_EYE, 0, "eyeLookDownRight", "eyeLookUpRight", 26.0, 22.0),
    (RIGHT_EYE, 1, "eyeLookInRight", "eyeLookOutRight", 28.0, 28.0),
    (JAW, 0, "jawOpen", None, 20.9, 0.0),
    (JAW, 1, "jawLeft", "jawRight", 3.5, 3.5),
)
LOOKS = tuple(
    name for joint, _, positive, negative, *_ in _ROTATIONS if joint != JAW for name in (positive, negative) if name
)
#: Radians; a joint with a smaller rotation is at rest.
_AT_REST = 1e-6


def total_rotations(names: Sequence[str], weights: Floats, joints: Floats) -> Floats:
    """Axis-angle rotations [T,J,3] in radians: those of the joints [T,J,3] plus those driven by weights [T,E]."""
    total = np.array(joints, np.float64)
    for joint, axis, positive, negative, up, down in _ROTATIONS:
        for name, degrees in ((positive, up), (negative, -down)):
            if name in names:
                total[:, joint, axis] += np.radians(degrees) * weights[:, names.index(name)]
    return total


def joints_to_weights(names: Sequence[str], weights: Floats, joints: Floats) -> tuple[Floats, Floats]:
    """Express joint rotations by weights.

    Frames in which a joint is at rest keep their weights exactly.

    Args:
        names: [E] expression names.
        weights: [T,E].
        joints: [T,J,3] axis-angle radians.

    Returns:
        Weights [T,E] for the rotations of weights and joints together, and the joint rotations [T,J,3] that weights
        cannot express.
    """
    total = total_rotations(names, weights, joints)
    result = np.array(weights, np.float64)
    remainder = np.array(joints, np.float64)
    for joint, axis, positive, negative, up, down in _ROTATIONS:
        moved = np.abs(joints[:, joint, axis]) > _AT_REST
        if positive not in names or (negative is not None and negative not in names) or not moved.any():
            continue
        angle = total[moved, joint, axis]
        result[moved, names.index(positive)] = np.maximum(angle, 0) / np.radians(up)
        remainder[moved, joint, axis] = np.minimum(angle, 0) if negative is None else 0
        if negative is not None:
            result[moved, names.index(negative)] = np.maximum(-angle, 0) / np.radians(down)
    return result, remainder
