"""Eyelid blendshapes for a head without: skin around an eye rotates about the eyeball until the lid edges meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy
from .openings import Opening, from_angles, to_angles
from .surface import Floats, Mask, distance_from, edge_graph

_CLOSURE_LINE = 0.2  # where the edges meet, from the lower (0) to the upper edge (1)
_CLEARANCE = 4e-4  # meters between a closed lid and the eyeball
_UPPER_EXTENT = 0.011  # meters along the skin from the edge to where the motion ends
_LOWER_EXTENT = 0.010
_RIGID_BAND = 0.0015  # meters along the skin that move fully with the edge
_EDGE_WIDTH = 0.05  # radians around the traced edge within which vertices belong to the edge


@dataclass(frozen=True)
class LidShape:
    """The blendshape of one eyelid."""

    displacements: Floats  # [V,3] meters at weight 1
    curve: Floats  # [V,3] meters, offset from the straight path at weight 0.5 (curvedirs)


def lid_shape(body: Anatomy, opening: Opening) -> LidShape:
    """The closing lid of one eye; vertices rotate about the eyeball's center, so lids slide over the eyeball."""
    offset = body.vertices - opening.center
    azimuth, elevation, radius = to_angles(offset)
    upper = np.interp(azimuth, opening.azimuth, opening.upper)
    lower = np.interp(azimuth, opening.azimuth, opening.lower)
    upper_radius = np.interp(azimuth, opening.azimuth, opening.upper_radius)
    lower_radius = np.interp(azimuth, opening.azimuth, opening.lower_radius)
    line = lower + _CLOSURE_LINE * (upper - lower)
    is_upper = elevation > line
    weight = _weights(body, opening, np.where(is_upper, elevation - upper, lower - elevation), is_upper)
    inside = (azimuth > opening.azimuth[0]) & (azimuth < opening.azimuth[-1])
    weight = np.where(inside & (offset[:, 2] > 0), weight, 0)
    angle = weight * (line - np.where(is_upper, upper, lower))
    closed = np.maximum((upper_radius + lower_radius) / 2, opening.radius + _CLEARANCE)
    radial = weight * (closed - np.where(is_upper, upper_radius, lower_radius))
    end = from_angles(azimuth, elevation + angle, radius + radial) - offset
    middle = from_angles(azimuth, elevation + angle / 2, radius + radial / 2) - offset
    moving = (weight > 0)[:, None]
    return LidShape(np.where(moving, end, 0), np.where(moving, middle - end / 2, 0))


def _weights(body: Anatomy, opening: Opening, beyond: Floats, is_upper: Mask) -> Floats:
    """Weight [V] of each vertex in its lid's rotation: 1 at the edge, 0 at the end of the extent.

    Args:
        body: the mesh.
        opening: between the lids.
        beyond: [V] radians of elevation from the edge away from the opening.
        is_upper: [V] which vertices belong to the upper lid.

    Returns:
        [V] 0..1.
    """
    offset = body.vertices - opening.center
    azimuth, _, radius = to_angles(offset)
    near = body.skin & (offset[:, 2] > 0) & (np.abs(beyond) < _EDGE_WIDTH) & (radius < 1.3 * opening.radius)
    near &= (radius > opening.radius) & (azimuth > opening.azimuth[0]) & (azimuth < opening.azimuth[-1])
    graph = edge_graph(body.vertices, body.faces[body.skin_faces])
    distance = np.full(len(azimuth), np.inf)  # from the edge, in extents
    for side, extent in ((True, _UPPER_EXTENT), (False, _LOWER_EXTENT)):
        sources = np.flatnonzero(near & (is_upper == side))
        if len(sources):
            distance = np.where(is_upper == side, distance_from(graph, sources, extent) / extent, distance)
    rigid = _RIGID_BAND / _UPPER_EXTENT
    falloff = np.clip((1 - np.minimum(distance, 1)) / (1 - rigid), 0, 1)
    return falloff * falloff * (3 - 2 * falloff)
