"""Eyeballs with cornea, iris and pupil (stage S7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy.mesh import Floats, smoothstep
from avatar.head.anatomy.parts import Grid, Part, mean_of, polar

from .cage import Cage
from .lids import EYE_RADIUS

IRIS_RADIUS = 0.59  # cm, adults' mean (Rufer et al. 2005)
IRIS_ANGLE = float(np.arcsin(IRIS_RADIUS / EYE_RADIUS))
COLUMNS = 24
#: rings from the cornea's apex to the back, radians: pupil, iris, its dark rim, sclera
_RINGS = (0.09, 0.18, 0.21, 0.32, 0.42, 0.48, IRIS_ANGLE, 0.55, 0.66, 0.85, 1.1, 1.4, 1.75, 2.15, 2.6)
_HALF_RINGS = (1, 2, 4, 6, 7, 9, 11, 12, 14)  # keep the pupil's and the iris's edges sharp
_PUPIL = (0.03, 0.03, 0.03)
_SCLERA = (0.88, 0.86, 0.83)
_CORNER = (0.80, 0.66, 0.62)
#: color of the iris at angles from the apex
_IRIS = ((0.21, (0.30, 0.33, 0.28)), (0.32, (0.34, 0.42, 0.44)), (0.44, (0.27, 0.36, 0.41)), (0.52, (0.12, 0.15, 0.17)))
_STREAKS = 0.10  # amplitude of the iris's brightness variation
#: rotation of an eye at weight 1: name, degrees down, degrees outward
LOOKS = (("Up", -22.0, 0.0), ("Down", 26.0, 0.0), ("Out", 0.0, 28.0), ("In", 0.0, -28.0))


def _colors(angles: Floats, around: Floats) -> Floats:
    """Colors [R*24+1,3], pole last: pupil, streaked iris with a dark rim, sclera that becomes redder at the back."""
    knots = [angle for angle, _ in _IRIS]
    shades = [color for _, color in _IRIS]
    iris = np.stack([np.interp(angles, knots, channel) for channel in np.array(shades).T], -1)
    streaks = 1 + _STREAKS * (np.sin(5 * around + 1) + np.sin(9 * around)) / 2
    back = smoothstep(0.6, 1.3, angles)[:, None]
    white = (1 - back) * np.array(_SCLERA) + back * np.array(_CORNER)
    table = np.where(angles[:, None, None] < IRIS_ANGLE + 0.01, iris[:, None] * streaks[:, None], white[:, None])
    table[angles < 0.2] = _PUPIL
    return np.vstack([table.reshape(-1, 3), _PUPIL])


def right_eye(cage: Cage, lids: Sequence[int], joint: int) -> Part:
    """The right eyeball with its corneal bulge, open at the back; its last vertex is the apex."""
    around = 2 * np.pi * np.arange(COLUMNS) / COLUMNS
    angles = np.array(_RINGS)
    radius = EYE_RADIUS * (1 + 0.045 * np.exp(-((np.r_[angles, 0] / 0.42) ** 4)))
    sine = np.sin(angles)[:, None]
    cosine = np.cos(angles)[:, None] + 0 * around
    sphere = np.stack([sine * np.cos(around), sine * np.sin(around), cosine], -1)
    rings = (radius[:-1, None, None] * sphere).reshape(-1, 3)
    vertices = np.vstack([rings, [[0, 0, radius[-1]]]]) + cage.eye_center
    grid = Grid(len(angles), COLUMNS, closed=True, pole_at=0)
    iris = np.append(np.repeat(angles < IRIS_ANGLE + 0.01, COLUMNS), True)
    return Part(
        name="right_eyeball",
        vertices=vertices,
        faces=grid.faces(),
        colors=_colors(angles, around),
        flat=np.vstack([polar(range(1, len(angles) + 1), around), [[0, 0]]]),
        half=grid.subset(_HALF_RINGS, range(0, COLUMNS, 2)),
        follows=mean_of(lids),
        jaw_weights=np.zeros(len(vertices)),
        joint=joint,
        regions={"iris": iris, "sclera": ~iris},
    )


def iris_vertices(left: bool) -> list[int]:
    """Vertices of an eye at its five iris landmarks: the apex, then +x, +y, -x, -y on the iris's edge."""
    ring = _RINGS.index(IRIS_ANGLE) * COLUMNS
    quarters = (2, 1, 0, 3) if left else (0, 1, 2, 3)  # the left eye is the right one mirrored
    return [len(_RINGS) * COLUMNS, *(ring + COLUMNS // 4 * quarter for quarter in quarters)]
