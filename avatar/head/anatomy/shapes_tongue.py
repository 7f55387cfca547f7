"""tongueOut: open lips and the tongue between them, over the lower lip (stage S9)."""

from __future__ import annotations

import numpy as np

from .cage import Cage
from .indices import LIP_LOWER, LOWER_LIP_MIDDLE
from .mesh import Floats, smoothstep
from .shapes_mouth import Table, both_halves, lip_handles
from .spread import Handles

_TIP_TRAVEL = 3.0  # cm, forward motion of the tip
_HALF_WIDTH = 1.45  # cm, of the lips' opening
_FLAT = 0.30  # relative thickness of the tongue between the teeth
_LIPS_OUT = 0.06

_BELOW: Table = {
    18: (0, -0.16, 0.05), 83: (0, -0.15, 0.05), 182: (0, -0.12, 0.04), 106: (0, -0.06, 0.02), 164: (0, 0.05, 0.02),
    200: (0, -0.06, 0.03),
}  # fmt: skip
_LOWER_DROP = (0.24, 0.32, 0.40, 0.44)  # cm per row, from the outer one: the lip rotates outward
_UPPER_RISE = (0.10, 0.12, 0.13, 0.13)


def lips_parted(cage: Cage) -> Floats:
    """Displacements [C,3] of lips opened for the tongue."""

    def part(side: float) -> float:
        return float(1 - smoothstep(0.30, 0.98, side))

    def upper(column: int, row: int, side: float) -> Floats:
        return np.array([0, _UPPER_RISE[row], _LIPS_OUT]) * part(side)

    def lower(column: int, row: int, side: float) -> Floats:
        return np.array([0, -_LOWER_DROP[row], _LIPS_OUT]) * part(side)

    handles: Handles = both_halves(cage, lip_handles(cage, upper, lower, _BELOW))
    return cage.spreader.fill(handles, 1.8)


def tongue_out(cage: Cage, tongue: Floats) -> Floats:
    """Displacements [N,3] of the tongue's vertices [N,3]: flat between the teeth, then down over the lip."""
    lip = cage.vertices[LOWER_LIP_MIDDLE]
    front = max(cage.vertices[row[-1], 2] for row in LIP_LOWER) + _LIPS_OUT
    z = tongue[:, 2]
    out = smoothstep(z.min(), z.max() - 1.3, z)  # the tip moves rigidly and stays round
    forward = z + _TIP_TRAVEL * out
    middle = _middle_heights(tongue)
    path = lip[1] - 0.26 - 0.42 * np.clip((forward - front + 0.3) / 1.2, 0, None) ** 1.6
    flat = smoothstep(lip[2] - 3.0, lip[2] - 1.2, forward) - 0.6 * smoothstep(front - 0.5, front + 0.6, forward)
    x = tongue[:, 0] * (1 - (1 - _HALF_WIDTH / _rest_half_width(tongue)) * out)
    onto_path = smoothstep(lip[2] - 4.0, lip[2] - 0.9, forward)
    y = middle + (path - middle) * onto_path + (tongue[:, 1] - middle) * (1 - (1 - _FLAT) * flat)
    return np.stack([x, y, forward], -1) - tongue


def _rest_half_width(tongue: Floats) -> float:
    return float(np.abs(tongue[:, 0]).max())


def _middle_heights(tongue: Floats) -> Floats:
    """Height [N] of the tongue's middle at the depth of each of its vertices."""
    depths, ring = np.unique(np.round(tongue[:, 2], 4), return_inverse=True)
    heights = [(tongue[ring == place, 1].max() + tongue[ring == place, 1].min()) / 2 for place in range(len(depths))]
    return np.interp(tongue[:, 2], depths, heights)
