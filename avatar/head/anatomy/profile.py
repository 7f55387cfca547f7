"""Corrections of the mean face's depth, which a landmark network cannot measure in a front view (after stage S1).

The network estimates depth from a flat drawing. Its profile has no dip between forehead and nose, a chin 9 mm behind
the upper lip's root (adults' mean: 3-4 mm, Arnett et al. 1999) and a nose tip with a projection of 0.62 of the nose's
length (0.55-0.60, Goode). Only z changes: the front view of the face remains.
"""

from __future__ import annotations

import numpy as np

from .mesh import Floats

#: center y, z of a bump on the midline; its half-widths along x, y, z; displacement along z, cm
_BUMPS = (
    ((-10.7, 1.0), (2.4, 1.15, 2.5), 0.40),  # chin
    ((-8.95, 1.4), (1.3, 0.35, 2.0), -0.13),  # the fold above it
    ((-3.9, 3.9), (1.3, 1.4, 1.7), -0.20),  # nose tip
    ((0.15, 1.6), (0.8, 0.85, 2.0), -0.24),  # between the eyes
    ((2.1, 1.3), (4.2, 0.75, 2.0), 0.10),  # brows
)


def correct_depth(points: Floats) -> Floats:
    """Corrected landmarks [N,3] cm."""
    moved = points.copy()
    for (y, z), widths, forward in _BUMPS:
        scaled = (points - np.array([0, y, z])) / np.array(widths)
        moved[:, 2] += forward * np.exp(-(scaled**2).sum(1))
    return moved
