"""The opening of each eye: lid edges traced as directions from the eyeball's center."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy, Eyeball
from .surface import Floats, Ints, Mask

_RAYS = 720
_MAX_RADIUS = 2.0  # eyeball radii: skin farther from the center is ignored
_MIN_RADIUS = 0.98  # eyeball radii: skin nearer to the center is the socket behind the eyeball


@dataclass(frozen=True)
class Opening:
    """The gap between the lids of one eye.

    A direction from the eyeball's center is (azimuth toward +x, elevation toward +y): a rotation about the x-axis
    through the center changes only the elevation, so a lid that closes along elevations keeps its distance to the
    eyeball.
    """

    center: Floats  # [3] meters
    radius: float  # of the eyeball, meters
    azimuth: Floats  # [N] radians, increasing, from corner to corner
    upper: Floats  # [N] radians, elevation of the upper lid's edge
    lower: Floats  # [N] radians, elevation of the lower lid's edge
    upper_radius: Floats  # [N] meters, distance of the upper edge from the center
    lower_radius: Floats  # [N] meters

    def edge_points(self, azimuth: Floats, is_upper: bool) -> Floats:
        """Points [M,3] of an edge at the azimuths [M]."""
        elevation = np.interp(azimuth, self.azimuth, self.upper if is_upper else self.lower)
        radius = np.interp(azimuth, self.azimuth, self.upper_radius if is_upper else self.lower_radius)
        return self.center + from_angles(azimuth, elevation, radius)


def to_angles(offset: Floats) -> tuple[Floats, Floats, Floats]:
    """Azimuth, elevation (radians) and length of offsets [...,3]."""
    x = offset[..., 0]
    y = offset[..., 1]
    z = offset[..., 2]
    return np.arctan2(x, np.hypot(y, z)), np.arctan2(y, z), np.linalg.norm(offset, axis=-1)


def from_angles(azimuth: Floats, elevation: Floats, radius: Floats) -> Floats:
    """Offsets [...,3]: the inverse of `to_angles`."""
    level = radius * np.cos(azimuth)
    return np.stack([radius * np.sin(azimuth), level * np.sin(elevation), level * np.cos(elevation)], -1)


def find_opening(body: Anatomy, ball: Eyeball) -> Opening:
    """Trace the lid edges: the first skin along every direction, starting at the center of the gap."""
    offset = body.vertices - ball.center
    azimuth, elevation, radius = to_angles(offset)
    nearby = (
        body.skin & (radius > _MIN_RADIUS * ball.radius) & (radius < _MAX_RADIUS * ball.radius) & (offset[:, 2] > 0)
    )
    faces = body.faces[nearby[body.faces].all(1)]
    sides = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2), 1)
    plane = np.stack([azimuth, elevation], -1)
    distance, edge, along_edge = _first_hits(plane, np.unique(sides, axis=0))
    ends = body.vertices[edge]
    rim = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * along_edge[:, None] - ball.center
    return _halves(rim, ball, np.isfinite(distance))


def _first_hits(plane: Floats, sides: Ints) -> tuple[Floats, Ints, Floats]:
    """First crossings of R rays from the plane's origin with the sides [S,2] between points [V,2].

    Returns:
        Distance [R] (infinite: no crossing), the side's vertices [R,2] and the position along it [R], 0..1.
    """
    angle = 2 * np.pi * np.arange(_RAYS) / _RAYS
    ray = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
    start = plane[sides[:, 0]]
    along = plane[sides[:, 1]] - plane[sides[:, 0]]
    cross = ray[..., 0] * along[:, 1] - ray[..., 1] * along[:, 0]
    safe = np.where(np.abs(cross) < 1e-12, 1e-12, cross)
    distance = (start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0]) / safe
    along_side = (start[:, 0] * ray[..., 1] - start[:, 1] * ray[..., 0]) / safe
    hit = (along_side >= 0) & (along_side <= 1) & (distance > 1e-6)
    distance = np.where(hit, distance, np.inf)
    first = distance.argmin(1)
    rows = np.arange(_RAYS)
    return distance[rows, first], sides[first], np.clip(along_side[rows, first], 0, 1)


def _halves(rim: Floats, ball: Eyeball, hit: Mask) -> Opening:
    """Split the traced rim [R,3] (offsets from the center, valid where `hit` [R]) into an upper and a lower edge."""
    azimuth, elevation, radius = to_angles(rim[hit])
    first = int(azimuth.argmin())
    last = int(azimuth.argmax())
    grid = np.linspace(azimuth[first], azimuth[last], 121)
    halves = []
    order = np.arange(len(azimuth))
    one = order[min(first, last) : max(first, last) + 1]
    rest = np.concatenate([order[max(first, last) :], order[: min(first, last) + 1]])
    for half in sorted((one, rest), key=lambda ids: -elevation[ids].mean()):
        ranked = half[np.argsort(azimuth[half], kind="stable")]
        halves.append([np.interp(grid, azimuth[ranked], value[ranked]) for value in (elevation, radius)])
    (upper, upper_radius), (lower, lower_radius) = halves
    return Opening(ball.center, ball.radius, grid, upper, lower, upper_radius, lower_radius)
