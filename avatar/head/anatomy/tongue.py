"""The tongue (stage S7)."""

from __future__ import annotations

import numpy as np

from .mesh import Floats, face_normals, smoothstep
from .parts import Grid, Part, flip, polar

_ROWS = 15
_COLUMNS = 20
_LENGTH = 4.2
_POSITIONS = np.linspace(0, 1, _ROWS) ** 1.4  # rows are denser at the rounded tip
#: cm. Tongues rest behind the upper teeth, and rise when people speak: measured on five filmed people, whose tongues
#: lie 4 to 12 mm higher between open lips than one that lies flat behind the lower teeth.
_TIP_RISE = 0.8
_COLOR = (0.76, 0.43, 0.43)
_GROOVE = (0.66, 0.35, 0.36)
_ROOT = (0.42, 0.18, 0.18)


def _vertices(lip: Floats) -> Floats:
    """Rows from the tip back and a vertex at the tip, [301,3]."""
    around = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    rows = []
    for part in _POSITIONS:
        wide = 0.12 + 1.68 * np.sqrt(1 - (1 - min(part / 0.62, 1)) ** 2.2) - 0.25 * smoothstep(0.7, 1, part)
        high = 0.10 + 0.36 * np.sqrt(1 - (1 - min(part / 0.45, 1)) ** 2) + 0.15 * part
        arch = 0.42 * np.sin(np.pi * min(part / 0.9, 1)) ** 2  # the middle of the tongue is higher than its edges
        middle = lip[1] - 0.93 + _TIP_RISE * (1 - part) + 0.18 * part - 0.9 * max(part - 0.65, 0)
        x = wide * np.cos(around)
        sine = np.sin(around)
        upper = sine > 1e-9
        y = high * sine * np.where(upper, 1.0, 0.8) + arch * (1 - (x / wide) ** 2) * np.where(upper, 1, 0.4)
        y = y - 0.13 * smoothstep(0.02, 0.3, part) * np.exp(-((x / (0.22 + 0.1 * part)) ** 2)) * upper
        rows.append(np.stack([x, middle + y, np.full_like(x, lip[2] - 1.25 - _LENGTH * part)], -1))
    tip = rows[0].mean(0) + np.array([0, 0, 0.07])
    return np.vstack([*rows, tip[None]])


def _colors(vertices: Floats, lip: Floats) -> Floats:
    """Colors [P,3]: darker in the groove and toward the root."""
    groove = 0.7 * np.exp(-((vertices[:, 0] / 0.3) ** 2))[:, None]
    colors = (1 - groove) * np.array(_COLOR) + groove * np.array(_GROOVE)
    root = smoothstep(lip[2] - 2.4, lip[2] - 4.8, vertices[:, 2])[:, None]
    return (1 - root) * colors + root * np.array(_ROOT)


def tongue(lip: Floats, follows: tuple[tuple[int, float], ...]) -> Part:
    """The tongue behind the lower teeth, with its tongueOut shape; `lip` [3] cm, the middle of the lower lip."""
    vertices = _vertices(lip)
    around = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    grid = Grid(_ROWS, _COLUMNS, closed=True, pole_at=0)
    out = smoothstep(0, 1, (vertices[:, 2] - (lip[2] - _LENGTH)) / 2.9)
    rise = 0.53 * out - 0.5 * np.clip((out - 0.6) / 0.4, 0, 1)
    part = Part(
        name="tongue",
        vertices=vertices,
        faces=grid.faces(),
        colors=_colors(vertices, lip),
        flat=np.vstack([polar(range(1, _ROWS + 1), around), [[0, 0]]]),
        half=grid.subset(range(0, _ROWS, 2), range(1, _COLUMNS, 2)),  # with the groove
        follows=follows,
        jaw_weights=np.clip((vertices[:, 2] - (lip[2] - 6)) / 2.5, 0.35, 1),
        shapes={"tongueOut": np.stack([-0.25 * vertices[:, 0] * out, rise, 2.9 * out], -1)},
    )
    top = face_normals(vertices, part.faces)[:, 1] * (vertices[part.faces].mean(1)[:, 1] - vertices[:, 1].mean())
    return part if top.sum() > 0 else flip(part)
