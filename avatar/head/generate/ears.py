"""Ears: polar height fields with helix, antihelix, concha, tragus and lobe, stuck on the side of the skull (S7)."""

from __future__ import annotations

import numpy as np

from .mesh import Floats, grid_faces, outward, rotation_x
from .parts import Part, fan, polar

_CENTRE = np.array([7.0, -1.75, -8.0])
_TILT_DEGREES = -13.0
_COLUMNS = 40
_RADII = (0.02, 0.12, 0.22, 0.32, 0.42, 0.5, 0.58, 0.66, 0.74, 0.82, 0.9, 0.97)
#: behind the rim: scale of the outline back and up, shift back, height (None: this far under the rim)
_BACK = ((1.02, 1.015, 0.0, -0.15), (0.99, 0.99, 0.0, -0.33), (0.85, 0.9, 0.0, -0.55))
_ROOT = ((0.55, 0.7, -0.3, -0.35), (0.5, 0.65, -0.4, -1.2))


def _bump(value: Floats | float, middle: float, width: float, power: int = 2) -> Floats:
    return np.exp(-(np.abs((np.asarray(value) - middle) / width) ** power))


def _outline(angle: Floats) -> tuple[Floats, Floats]:
    """How far the ear reaches back and up at each angle, cm."""
    below = np.clip(-np.sin(angle), 0, 1)
    back = 1.75 * np.cos(angle) * (1 - 0.18 * below) - 0.35 * below**2
    return back, np.where(np.sin(angle) > 0, 2.9, 3.2) * np.sin(angle)


def _height(radius: float, angle: Floats, back: Floats) -> Floats:
    """Distance from the skull at a polar place, cm."""
    lobe = np.clip(-np.sin(angle) - 0.45, 0, 1) * 1.6
    not_lobe = 1 - np.clip(lobe, 0, 1)
    rear = np.clip(0.5 + 0.8 * np.cos(angle) + 0.5 * np.sin(angle), 0, 1) * not_lobe
    rim = np.clip(0.9 + 0.6 * np.cos(angle) + 0.6 * np.sin(angle), 0, 1) * not_lobe
    height = 0.65 + 0.80 * (back * radius) / 1.75
    height = height + 0.34 * _bump(radius, 0.93, 0.075) * rim + 0.26 * _bump(radius, 0.58, 0.12) * rear
    height = height - 0.75 * _bump(radius, 0, 0.40, 4) - 0.10 * _bump(radius, 0.78, 0.08) * rear
    height = height + 0.35 * _bump(radius, 0.5, 0.14) * _bump(angle, np.pi, 0.5)
    return height + 0.12 * np.clip(lobe, 0, 1) * _bump(radius, 0.7, 0.3)


def left_ear(follows: tuple[tuple[int, float], ...], skin: Floats) -> Part:
    """The left ear, open where it enters the skull."""
    angle = np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False)
    back, up = _outline(angle)
    rows = [
        np.stack([back * radius - 0.12 * (radius < 0.5), up * radius, _height(radius, angle, back)], -1)
        for radius in _RADII
    ]
    for wide, high, shift, under in _BACK:
        rim = _height(1.0, angle, back) - 0.02 if wide > 0.9 else 0.65 + 0.80 * back * wide / 1.75
        rows.append(np.stack([back * wide + shift, up * high, rim + under], -1))
    rows += [np.stack([back * w + shift, up * h, np.full(_COLUMNS, level)], -1) for w, h, shift, level in _ROOT]
    grid = np.vstack([*rows, rows[0].mean(0, keepdims=True)])
    placed = np.stack([grid[:, 2], grid[:, 1], -grid[:, 0]], -1) @ rotation_x(_TILT_DEGREES).T + _CENTRE
    faces = np.vstack([grid_faces(len(rows), _COLUMNS, closed=True), fan(range(_COLUMNS), len(grid) - 1)])
    flat = np.vstack([polar(np.arange(1, len(rows) + 1), angle), [[0, 0]]])
    colors = np.tile(skin, (len(grid), 1))
    return Part("left_ear", placed, outward(placed, faces), colors, flat, follows, np.zeros(len(grid)))
