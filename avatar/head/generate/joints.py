"""Expressions that turn joints: authored as seen at weight 1, stored as turns and what precedes them (S9, S10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

from . import jaw
from .expressions import NAMES
from .eyes import LOOKS
from .mesh import Floats
from .parts import Part


def directions() -> Floats:
    """Axis-angle [J,3,E] in radians that a weight of 1 of each expression adds to each joint."""
    degrees = np.zeros((len(JOINT_NAMES), 3, len(NAMES)))
    for name, turn in jaw.TURNS.items():
        degrees[JAW, :, NAMES.index(name)] = turn
    for name, down, out in LOOKS:
        for side, joint, sign in (("Left", LEFT_EYE, 1.0), ("Right", RIGHT_EYE, -1.0)):
            degrees[joint, :, NAMES.index(f"eyeLook{name}{side}")] = (down, sign * out, 0)
    return np.radians(degrees)


def behind_the_jaw(points: Floats, shares: Floats, seen: Floats) -> Floats:
    """Displacements [E,N,3] before the jaw turns, from those `seen` [E,N,3] at weight 1.

    mouthClose is meant for an open jaw and is what it adds there.
    """
    rest = seen.copy()
    for name in jaw.TURNS:
        rest[NAMES.index(name)] = jaw.before_the_turn(points, shares, seen[NAMES.index(name)], name)
    opened, close = NAMES.index("jawOpen"), NAMES.index("mouthClose")
    both = jaw.before_the_turn(points, shares, seen[opened] + seen[close], "jawOpen")
    rest[close] = both - rest[opened]
    return rest


def part_shapes(parts: Sequence[Part], seen: Floats) -> Floats:
    """The same [E,P,3] for all parts' vertices; parts that a joint of their own carries keep nothing."""
    points, shares = np.vstack([part.vertices for part in parts]), np.concatenate([part.jaw_shares for part in parts])
    own = np.concatenate([np.full(len(part.vertices), part.joint is not None) for part in parts])
    rest = behind_the_jaw(points, shares, seen)
    rest[:, own] = 0
    return rest
