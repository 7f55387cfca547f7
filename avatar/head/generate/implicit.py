"""Signed distances of simple solids, blended: what skull, neck and shoulders are modeled with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .mesh import Floats

Solid = Callable[[Floats], Floats]  # points [...,3] -> roughly the signed distance [...], cm, negative inside

_REACH, _STEPS = 32.0, 480  # cm that rays go, samples on the way


def smooth_min(a: Floats, b: Floats, width: float) -> Floats:
    """The smaller of two distances, rounded where they differ by less than `width` (a union)."""
    part = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b * (1 - part) + a * part - width * part * (1 - part)


def smooth_max(a: Floats, b: Floats, width: float) -> Floats:
    """The larger of two distances, rounded (an intersection)."""
    return -smooth_min(-a, -b, width)


def ellipsoid(points: Floats, center: Sequence[float], radii: Sequence[float], power: float = 2.0) -> Floats:
    """Level set of an ellipsoid, or of a boxier one with a power over 2, divided by its gradient's size."""
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
    """Distance to a rod whose radius goes from the first to the second of `radii`; offsets are divided by `stretch`."""
    along = np.array(end, float) - np.array(start)
    offset = points - np.array(start)
    part = np.clip(offset @ along / (along @ along), 0, 1)
    across = (offset - part[..., None] * along) / np.array(stretch)
    return np.linalg.norm(across, axis=-1) - radii[0] - (radii[1] - radii[0]) * part


def both_sides(points: Floats) -> Floats:
    """Points folded onto the left side, so that a solid there stands on both."""
    return np.stack([np.abs(points[..., 0]), points[..., 1], points[..., 2]], -1)


def cast(solid: Solid, origin: Floats, direction: Floats) -> Floats:
    """Where rays [N,3] from inside first leave the solid, [N,3]."""
    steps = np.linspace(0.3, _REACH, _STEPS)
    value = solid(origin[:, None] + steps[None, :, None] * direction[:, None])
    first = np.argmax((value[:, :-1] < 0) & (value[:, 1:] >= 0), 1)
    rows = np.arange(len(first))
    inside, outside = value[rows, first], value[rows, first + 1]
    distance = steps[first] - (steps[1] - steps[0]) * inside / (outside - inside)
    return origin + distance[:, None] * direction


def onto(solid: Solid, points: Floats, distance: Floats) -> Floats:
    """Points [...,3] moved along the surface's normal to the given signed `distance` [...] from the solid."""
    for _ in range(4):
        steps = 1e-4 * np.eye(3)
        gradient = np.stack([solid(points + step) - solid(points - step) for step in steps], -1)
        gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True)
        points = points + gradient * (distance - solid(points))[..., None]
    return points


def even(first: Floats, rings: Floats) -> Floats:
    """Rings [R,N,3] moved along their meridians, which start at the loop `first` [N,3], to equal arc lengths."""
    return resampled(np.concatenate([first[None], rings]), len(rings))


def resampled(meridians: Floats, count: int) -> Floats:
    """`count` rings [count,N,3] at equal arc lengths along meridians [M,N,3]; the last is the meridians' end."""
    steps = np.linalg.norm(np.diff(meridians, axis=0), axis=-1)
    arc = np.concatenate([np.zeros((1, meridians.shape[1])), np.cumsum(steps, 0)])
    part = np.arange(1, count + 1) / count
    moved = [
        [np.interp(part * arc[-1, k], arc[:, k], meridians[:, k, axis]) for axis in range(3)]
        for k in range(meridians.shape[1])
    ]
    return np.array(moved).transpose(2, 0, 1)
