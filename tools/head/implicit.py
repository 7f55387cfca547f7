"""Blended signed distance functions of simple solids, for skull, neck and shoulders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from avatar.head.anatomy.mesh import Floats

Solid = Callable[[Floats], Floats]  # points [...,3] -> approximate signed distance [...], cm, negative inside

_RAY_LENGTH = 32.0  # cm; samples per ray
_STEPS = 480


def smooth_min(a: Floats, b: Floats, width: float) -> Floats:
    """Smooth minimum of two distances, rounded where they differ by less than `width` (a union)."""
    fraction = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b * (1 - fraction) + a * fraction - width * fraction * (1 - fraction)


def smooth_max(a: Floats, b: Floats, width: float) -> Floats:
    """Smooth maximum of two distances (an intersection)."""
    return -smooth_min(-a, -b, width)


def ellipsoid(points: Floats, center: Sequence[float], radii: Sequence[float], power: float = 2.0) -> Floats:
    """Distance [...] to an ellipsoid (a superellipsoid for powers above 2): level-set value over gradient norm.

    Args:
        points: [...,3] cm.
        center: [3] cm.
        radii: [3] cm.
        power: exponent of the coordinates; larger ones give flatter sides.
    """
    scaled = np.abs(points - np.array(center)) / np.array(radii)
    size = np.maximum((scaled**power).sum(-1), 1e-12) ** (1 / power)
    gradient = (scaled / size[..., None]) ** (power - 1) / np.array(radii)
    return (size - 1) / np.maximum(np.linalg.norm(gradient, axis=-1), 1e-9)


def capsule(
    points: Floats,
    start: Sequence[float],
    end: Sequence[float],
    radii: tuple[float, float],
    stretch: Sequence[float] = (1, 1, 1),
) -> Floats:
    """Distance to a capsule.

    Args:
        points: [...,3] cm.
        start: [3] cm.
        end: [3] cm.
        radii: at start and end, cm.
        stretch: divides the offsets from the axis.

    Returns:
        [...] cm.
    """
    along = np.array(end, float) - np.array(start)
    offset = points - np.array(start)
    fraction = np.clip(offset @ along / (along @ along), 0, 1)
    radial = (offset - fraction[..., None] * along) / np.array(stretch)
    return np.linalg.norm(radial, axis=-1) - radii[0] - (radii[1] - radii[0]) * fraction


def both_sides(points: Floats) -> Floats:
    """Points reflected to the left side, so that a solid there exists on both sides."""
    return np.stack([np.abs(points[..., 0]), points[..., 1], points[..., 2]], -1)


def cast_rays(solid: Solid, origin: Floats, direction: Floats) -> Floats:
    """Points [N,3] where rays [N,3] from inside first leave the solid."""
    steps = np.linspace(0.3, _RAY_LENGTH, _STEPS)
    value = solid(origin[:, None] + steps[None, :, None] * direction[:, None])
    first = np.argmax((value[:, :-1] < 0) & (value[:, 1:] >= 0), 1)
    rows = np.arange(len(first))
    inside = value[rows, first]
    outside = value[rows, first + 1]
    distance = steps[first] - (steps[1] - steps[0]) * inside / (outside - inside)
    return origin + distance[:, None] * direction


def project_to_level(solid: Solid, points: Floats, distance: Floats) -> Floats:
    """Points [...,3] moved along the surface normal to the signed `distance` [...] from the solid."""
    for _ in range(4):
        steps = 1e-4 * np.eye(3)
        gradient = np.stack([solid(points + step) - solid(points - step) for step in steps], -1)
        gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True)
        points = points + gradient * (distance - solid(points))[..., None]
    return points


def evenly_spaced(first: Floats, rings: Floats) -> Floats:
    """Rings [R,N,3] moved to equal arc lengths along their meridians, which start at the loop `first` [N,3]."""
    return resample_meridians(np.concatenate([first[None], rings]), len(rings))


def resample_meridians(meridians: Floats, count: int) -> Floats:
    """Rings [count,N,3] at equal arc lengths along meridians [M,N,3]; the last ring is their end."""
    steps = np.linalg.norm(np.diff(meridians, axis=0), axis=-1)
    arc = np.concatenate([np.zeros((1, meridians.shape[1])), np.cumsum(steps, 0)])
    fraction = np.arange(1, count + 1) / count
    moved = [
        [np.interp(fraction * arc[-1, k], arc[:, k], meridians[:, k, axis]) for axis in range(3)]
        for k in range(meridians.shape[1])
    ]
    return np.array(moved).transpose(2, 0, 1)
