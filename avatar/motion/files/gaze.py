"""Gaze and jaw said twice: by the eyeLook and jaw weights, which turn joints, and by the joints themselves.

ARKit gives both. Its angles are its weights over again, 31 to 35 degrees a unit, plus a constant 4 degrees outwards
for either eye, as if its eyes rested wall-eyed. Our heads turn the eyes by the weights, with their own degrees a unit,
and rest looking straight ahead. So a file's weights are the gaze, its angles are left alone, and nothing turns twice;
only where a file has angles and no weights do the angles go to the joints. In the other direction everything goes to
the weights, since that is what other programs look at, and the angles say the same once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

Floats = NDArray[np.floating]

#: (joint, axis, weight that turns positively, weight that turns negatively, degrees of each at weight 1): those of
#: every head of ours. No weight lifts the jaw.
_TURNS = (
    (LEFT_EYE, 0, "eyeLookDownLeft", "eyeLookUpLeft", 26.0, 22.0),
    (LEFT_EYE, 1, "eyeLookOutLeft", "eyeLookInLeft", 28.0, 28.0),
    (RIGHT_EYE, 0, "eyeLookDownRight", "eyeLookUpRight", 26.0, 22.0),
    (RIGHT_EYE, 1, "eyeLookInRight", "eyeLookOutRight", 28.0, 28.0),
    (JAW, 0, "jawOpen", None, 20.9, 0.0),
    (JAW, 1, "jawLeft", "jawRight", 3.5, 3.5),
)
LOOKS = tuple(name for joint, _, more, less, *_ in _TURNS if joint != JAW for name in (more, less) if name)
#: Radians; a joint that turns less is at rest.
_STILL = 1e-6


def driven(names: Sequence[str], weights: Floats, joints: Floats) -> Floats:
    """Rotations [T,J,3] of jaw and eyes, axis-angle radians: the joints' own [T,J,3] and what weights [T,E] add."""
    total = np.array(joints, np.float64)
    for joint, axis, more, less, up, down in _TURNS:
        for name, degrees in ((more, up), (less, -down)):
            if name in names:
                total[:, joint, axis] += np.radians(degrees) * weights[:, names.index(name)]
    return total


def in_weights(names: Sequence[str], weights: Floats, joints: Floats) -> tuple[Floats, Floats]:
    """Weights [T,E] that turn jaw and eyes as weights and joints together did, and what of the joints [T,J,3] is left.

    Frames in which a joint is at rest keep their weights to the bit.
    """
    total, result, left = driven(names, weights, joints), np.array(weights, np.float64), np.array(joints, np.float64)
    for joint, axis, more, less, up, down in _TURNS:
        moved = np.abs(joints[:, joint, axis]) > _STILL
        if more not in names or (less is not None and less not in names) or not moved.any():
            continue
        turn = total[moved, joint, axis]
        result[moved, names.index(more)] = np.maximum(turn, 0) / np.radians(up)
        left[moved, joint, axis] = np.minimum(turn, 0) if less is None else 0
        if less is not None:
            result[moved, names.index(less)] = np.maximum(-turn, 0) / np.radians(down)
    return result, left
