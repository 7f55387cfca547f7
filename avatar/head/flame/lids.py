"""Eyelids for a head that has none: skin around an eye turned about the eyeball's center until its edges meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bare import Anatomy
from .openings import Opening, from_angles, to_angles
from .surface import Floats, distance_from, edge_graph

_MEETING = 0.2  # of the way from the lower to the upper edge
_CLEARANCE = 4e-4  # meters that a closed lid keeps from the eyeball
_UPPER_REACH, _LOWER_REACH = 0.011, 0.010  # meters along the skin to where nothing moves
_HELD = 0.0015  # meters along the skin that go with the edge as they are
_AT_EDGE = 0.05  # radians around the traced edge within which vertices count as the edge


@dataclass(frozen=True)
class LidShape:
    """What an eyelid does at weight 1, and how far its path bulges at weight 0.5 (curvedirs)."""

    moves: Floats  # [V,3] meters
    curve: Floats  # [V,3] meters


def lid_shape(body: Anatomy, opening: Opening) -> LidShape:
    """Close one eye: every vertex keeps its distance to the eyeball's center, so lids slide over the eyeball."""
    offset = body.vertices - opening.center
    azimuth, elevation, radius = to_angles(offset)
    upper, lower, upper_radius, lower_radius = (
        np.interp(azimuth, opening.azimuth, edge)
        for edge in (opening.upper, opening.lower, opening.upper_radius, opening.lower_radius)
    )
    line = lower + _MEETING * (upper - lower)
    is_upper = elevation > line
    share = _shares(body, opening, np.where(is_upper, elevation - upper, lower - elevation), is_upper)
    inside = (azimuth > opening.azimuth[0]) & (azimuth < opening.azimuth[-1])
    share = np.where(inside & (offset[:, 2] > 0), share, 0)
    turn = share * (line - np.where(is_upper, upper, lower))
    closed = np.maximum((upper_radius + lower_radius) / 2, opening.radius + _CLEARANCE)
    grow = share * (closed - np.where(is_upper, upper_radius, lower_radius))
    end = from_angles(azimuth, elevation + turn, radius + grow) - offset
    middle = from_angles(azimuth, elevation + turn / 2, radius + grow / 2) - offset
    moving = (share > 0)[:, None]
    return LidShape(np.where(moving, end, 0), np.where(moving, middle - end / 2, 0))


def _shares(body: Anatomy, opening: Opening, beyond: Floats, is_upper: np.ndarray) -> Floats:
    """How much [V] of its edge's turn each vertex takes: all at the edge, nothing at the reach's end."""
    offset = body.vertices - opening.center
    azimuth, _, radius = to_angles(offset)
    near = body.skin & (offset[:, 2] > 0) & (np.abs(beyond) < _AT_EDGE) & (radius < 1.3 * opening.radius)
    near &= (radius > opening.radius) & (azimuth > opening.azimuth[0]) & (azimuth < opening.azimuth[-1])
    graph = edge_graph(body.vertices, body.faces[body.skin_faces])
    away = np.full(len(azimuth), np.inf)
    for side, reach in ((True, _UPPER_REACH), (False, _LOWER_REACH)):
        sources = np.flatnonzero(near & (is_upper == side))
        if len(sources):
            far = distance_from(graph, sources, reach) / reach
            away = np.where(is_upper == side, far, away)
    held = _HELD / _UPPER_REACH
    part = np.clip((1 - np.minimum(away, 1)) / (1 - held), 0, 1)
    return part * part * (3 - 2 * part)
