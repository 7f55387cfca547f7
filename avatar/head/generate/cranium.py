"""Skull, neck and shoulders: an implicit head swept from the face's outline to the collar (stage S5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import spsolve

from .indices import OVAL
from .mesh import MIRROR, Floats, Ints, MeshBuilder, bilaplacian, smoothstep

_RINGS = 15
_PIVOT = np.array([0, -13.3, -1.6])  # the half-planes turn about the x axis through it, below the chin
_RAY_START = (11.5, 9.0)  # cm from the pivot to where rays start, first and last half-plane
_LAYOUT_FADE, _DEPTH_FADE = 0.5, 0.2  # parts of the sweep where the outline's offset from the skull has faded
_COUNT = len(OVAL)
#: collar and shoulders: y, half-width, half-depth, centre z, how much of it is already in the ring
_COLLAR = (
    (-15.0, 5.7, 5.7, -9.8, 0.6),
    (-16.8, 6.5, 5.9, -10.2, 0.85),
    (-18.3, 9.5, 6.6, -10.4, 1.0),
    (-19.6, 14.0, 7.4, -10.5, 1.0),
    (-21.4, 17.5, 8.2, -10.5, 1.0),
    (-24.5, 18.6, 9.0, -10.4, 1.0),
)


def _smooth_min(a: Floats, b: Floats, width: float) -> Floats:
    part = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b * (1 - part) + a * part - width * part * (1 - part)


def _ellipsoid(points: Floats, centre: Sequence[float], radii: Sequence[float], power: float = 2.0) -> Floats:
    """Level set of an ellipsoid, or of a boxier one with a power over 2, divided by its gradient's size."""
    scaled = np.abs(points - np.array(centre)) / np.array(radii)
    size = np.maximum((scaled**power).sum(-1), 1e-12) ** (1 / power)
    gradient = (scaled / size[..., None]) ** (power - 1) / np.array(radii)
    return (size - 1) / np.maximum(np.linalg.norm(gradient, axis=-1), 1e-9)


def _capsule(points: Floats, start: Sequence[float], end: Sequence[float], radius: float) -> Floats:
    along = np.array(end, float) - np.array(start)
    offset = points - np.array(start)
    part = np.clip(offset @ along / (along @ along), 0, 1)
    return np.linalg.norm((offset - part[..., None] * along) * [1.0, 1, 0.95], axis=-1) - radius


def skull_distance(points: Floats) -> Floats:
    """Roughly the signed distance [...] of points [...,3] to the head's outside, cm, negative inside."""
    distance = _smooth_min(
        _ellipsoid(points, (0, 3.35, -7.6), (7.55, 9.1, 9.8), power=2.3),
        _ellipsoid(points, (0, 0.5, -11.0), (6.7, 7.5, 6.7)),
        2.0,
    )
    distance = _smooth_min(distance, _ellipsoid(points, (0, -5.4, -4.6), (6.0, 6.0, 5.6)), 2.0)
    return _smooth_min(distance, _capsule(points, (0, -4, -9.2), (0, -22, -10.6), 5.5), 2.2)


def _surface(pitch: Floats, angle: Floats, start: float) -> Floats:
    """Where rays [N] leave the head: in the half-plane at `pitch`, from `start` off the pivot, at `angle` to x."""
    radial = np.stack([np.zeros_like(pitch), np.cos(pitch), -np.sin(pitch)], -1)
    origin = _PIVOT + start * radial
    direction = np.cos(angle)[:, None] * [1, 0, 0] + np.sin(angle)[:, None] * radial
    steps = np.linspace(0.3, 22, 400)
    value = skull_distance(origin[:, None] + steps[None, :, None] * direction[:, None])
    first = np.argmax((value[:, :-1] < 0) & (value[:, 1:] >= 0), 1)
    rows = np.arange(len(first))
    inside, outside = value[rows, first], value[rows, first + 1]
    distance = steps[first] - (steps[1] - steps[0]) * inside / (outside - inside)
    return origin + distance[:, None] * direction


def _swept_rings(oval: Floats) -> Floats:
    """Points [rings,36,3] on the skull from the face's outline back to the nape, laid out by the sweep alone."""
    offset = oval - _PIVOT
    pitch = np.arctan2(-offset[:, 2], offset[:, 1])
    angle = np.unwrap(np.arctan2(np.hypot(offset[:, 1], offset[:, 2]) - _RAY_START[0], oval[:, 0]))
    end_angle = np.unwrap(np.pi / 2 - np.arange(_COUNT) * 2 * np.pi / _COUNT)
    residual = oval - _surface(pitch, angle, _RAY_START[0])
    rings = []
    for step in np.arange(1, _RINGS + 1) / _RINGS:
        turn = float(smoothstep(0, 1, step))
        start = _RAY_START[0] * (1 - step) + _RAY_START[1] * step
        points = _surface(pitch * (1 - step) + np.pi / 2 * step, angle * (1 - turn) + end_angle * turn, start)
        rings.append(points + residual * (1 - smoothstep(0, _LAYOUT_FADE, step)))
    return np.array(rings)


def _onto_skull(points: Floats, distance: Floats) -> Floats:
    """Points [...,3] moved along the surface's normal to the given signed `distance` [...] from the head."""
    for _ in range(4):
        steps = 1e-4 * np.eye(3)
        gradient = np.stack([skull_distance(points + step) - skull_distance(points - step) for step in steps], -1)
        gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True)
        points = points + gradient * (distance - skull_distance(points))[..., None]
    return points


def _skull_rings(oval: Floats) -> Floats:
    """Points [rings,36,3], evenly spaced; the outline's depth under the skull's surface fades out over them."""
    rings = _even(oval, _swept_rings(oval))
    part = np.arange(1, _RINGS + 1) / _RINGS
    depth = skull_distance(oval) * (1 - smoothstep(0, _DEPTH_FADE, part))[:, None]
    return _even(oval, _onto_skull(rings, depth))


def _even(oval: Floats, rings: Floats) -> Floats:
    """Rings [R,36,3] moved along their meridians to equal arc lengths."""
    meridians = np.concatenate([oval[None], rings])
    steps = np.linalg.norm(np.diff(meridians, axis=0), axis=-1)
    arc = np.concatenate([np.zeros((1, _COUNT)), np.cumsum(steps, 0)])
    part = np.arange(1, _RINGS + 1) / _RINGS
    moved = [
        [np.interp(part * arc[-1, k], arc[:, k], meridians[:, k, axis]) for axis in range(3)] for k in range(_COUNT)
    ]
    return np.array(moved).transpose(2, 0, 1)


def _collar_ring(last: Floats, index: int) -> Floats:
    """Ring [36,3] number `index` of neck and shoulders, blended from the nape's ring."""
    height, wide, deep, back, share = _COLLAR[index]
    angle = np.pi / 2 - np.arange(_COUNT) * 2 * np.pi / _COUNT
    cosine, sine = np.cos(angle), np.sin(angle)
    square = 0.8 if index >= 2 else 1.0
    lift = 0.9 * np.abs(sine) if 2 <= index < 5 else np.zeros(_COUNT)
    ellipse = np.stack([wide * np.sign(cosine) * np.abs(cosine) ** square, height + lift, back - deep * sine], -1)
    return (last * [1, 0, 1] + [0, height, 0]) * (1 - share) + ellipse * share


def add_cranium(builder: MeshBuilder) -> list[list[int]]:
    """Sew 15 rings of skull and six of neck and shoulders to the face's outline; returns the rings."""
    reverse = np.r_[0, np.arange(_COUNT - 1, 0, -1)]
    oval = builder.points(OVAL)
    rings: list[list[int]] = []
    for points in _skull_rings(oval):
        symmetric = (points + (points * MIRROR)[reverse]) / 2
        rings.append(builder.ring(rings[-1] if rings else OVAL, symmetric))
    nape = builder.points(rings[-1])
    for index in range(len(_COLLAR)):
        rings.append(builder.ring(rings[-1], _collar_ring(nape, index)))
    return rings


def fair(vertices: Floats, faces: Ints, rings: list[list[int]]) -> Floats:
    """Vertices [V,3] with skull and neck smoothed against the fixed face and collar, held near their surface.

    The pull grows from the face's outline on; under the chin it stays weak, so that the jaw turns over softly.
    """
    pull = np.zeros(len(vertices))
    for number, ring in enumerate(rings):
        pull[ring] = 0.1 + 2.0 * smoothstep(0, 3, number)
        under_chin = [index for index in ring if vertices[index, 2] > -7 and vertices[index, 1] < -8.5]
        pull[under_chin] = 0.015
    free = np.zeros(len(vertices), bool)
    free[[index for ring in rings[:-1] for index in ring]] = True
    matrix = (bilaplacian(faces, len(vertices)) + sparse.diags(pull)).tocsr()
    target = pull[:, None] * vertices
    faired = vertices.copy()
    faired[free] = spsolve(matrix[free][:, free].tocsc(), target[free] - matrix[free][:, ~free] @ vertices[~free])
    return faired
