"""Surfaces that no frame shows: long hair on the back of the neck, and the back of the torso.

Both are sheets that hang behind what the frames show, as wide as it is at each height.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.geometry.rotations import triangle_frames
from avatar.head.model import HeadModel
from avatar.training.hair_height import hair_vertices
from avatar.training.hair_texture import strand_quats
from avatar.training.matte_sampling import MattePoints, bind_to_mesh, torso_weight
from avatar.training.mesh_sampling import SurfaceSamples
from avatar.types import LocalGaussians

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sheet:
    """Gaussians of one such surface: how many, how large, how opaque."""

    count: int
    #: Standard deviations along the fall, across it and in depth, meters; larger where there are fewer.
    sizes: tuple[float, float, float]
    #: Logit of the opacity; no other Gaussian starts with it.
    logit: float


HAIR = Sheet(900, (0.009, 0.0015, 0.001), 2.5)
TORSO = Sheet(700, (0.011, 0.009, 0.001), 3.5)
#: Largest number of a sheet relative to the other Gaussians of an avatar; and fewest that close anything.
MOST_UNSEEN = 0.03
LEAST = 200
#: Hair begins at this height in the skull frame, on the scalp; the torso below the chin where it is so wide to each
#: side: wider than a neck; and from there it takes so much height to its full depth; meters.
TOP = 0.02
SHOULDER = 0.1
SLOPE = 0.06
#: A sheet ends where this quantile of the seen points ends, at the side where it is higher up.
END = 0.05
#: Levels at which the width is measured, their height in meters, and the quantile that is the edge.
LEVELS = 12
BAND = 0.02
EDGE = 0.8
TORSO_EDGE = 0.97
#: Fewest points of a side that say where it ends.
FEWEST = 100
#: Largest angle from straight back, radians.
SIDE = 1.4
#: How far hair stands off the back of the scalp, meters, and the depth of the torso relative to half its width.
LIFT = (0.004, 0.016)
TORSO_DEPTH = 0.6
MOST_DEPTH = 0.14


def unseen_samples(
    head: HeadModel, seen: MattePoints, most: int, rng: np.random.Generator
) -> list[tuple[Sheet, SurfaceSamples]]:
    """The sheets of an untrained avatar and their Gaussians; none of a person who is seen from all sides.

    Args:
        head: the baked head.
        seen: what the frames show off the mesh.
        most: largest number of Gaussians of a sheet.
        rng: random numbers.
    """
    if seen.all_sides or most < LEAST:
        return []
    sheets = [(HAIR, _hair(head, seen, min(HAIR.count, most), rng))]
    sheets.append((TORSO, _torso(head, seen, min(TORSO.count, most), rng)))
    return [(sheet, samples) for sheet, samples in sheets if samples is not None]


def with_sheet(local: LocalGaussians, sheet: Sheet, rows: slice) -> LocalGaussians:
    """`local` with the sizes and the opacity of a `sheet` in its `rows`."""
    log_scales, logits = local.log_scales.clone(), local.logit_opacities.clone()
    wider = (sheet.count / (rows.stop - rows.start)) ** 0.5
    sizes = torch.tensor(sheet.sizes)
    log_scales[rows] = (sizes * torch.tensor([wider, wider, 1.0])).log()
    logits[rows] = sheet.logit
    return replace(local, log_scales=log_scales, logit_opacities=logits)


def rows_of(sheet: Sheet, logit_opacities: torch.Tensor) -> torch.Tensor:
    """Indices [M] of the Gaussians of a sheet in an untrained avatar with `logit_opacities` [N]."""
    return (logit_opacities.detach() == torch.tensor(sheet.logit)).nonzero()[:, 0]


def _hair(head: HeadModel, seen: MattePoints, count: int, rng: np.random.Generator) -> SurfaceSamples | None:
    """Strands from the scalp down to where the seen long hair ends; None where it is not long on both sides."""
    points = seen.long_hair
    scalp = head.v_template.double().numpy()[hair_vertices(head).numpy()]
    end = _end(points)
    if not len(scalp) or end is None or end > scalp[:, 1].min():
        return None
    depth = float(np.median(points[:, 2]))
    reach = np.full(LEVELS, depth - scalp[:, 2].min())
    place, normals = _sheet(points, (TOP, end, EDGE), reach, count, rng)
    place[:, 2] += depth
    place += rng.uniform(*LIFT, (count, 1)) * normals
    bent = np.ones(count, bool)
    return _bound(head, place, normals, torso_weight(place, ~bent, bent, seen.chin))


def _torso(head: HeadModel, seen: MattePoints, count: int, rng: np.random.Generator) -> SurfaceSamples | None:
    """The back of the torso, about an ellipse at each height; None where frames do not show shoulders."""
    points = seen.position[seen.torso]
    end = _end(points)
    if end is None:
        return None
    levels = np.linspace(seen.chin, min(end, seen.chin), LEVELS)
    width = np.array([min(_edge(side, level, TORSO_EDGE) for side in _sides(points)) for level in levels])
    top = float(levels[np.argmax(width > SHOULDER)])
    if width.max() < SHOULDER or end > top - BAND:
        return None
    levels = np.linspace(top, end, LEVELS)
    width = np.array([_edge(points, level, TORSO_EDGE) for level in levels])
    reach = np.minimum(TORSO_DEPTH * width, MOST_DEPTH) * np.clip((top - levels) / SLOPE, 0, 1) ** 0.5
    place, normals = _sheet(points, (top, end, TORSO_EDGE), reach, count, rng)
    place[:, 2] += np.median(points[:, 2])
    return _bound(head, place, normals, np.ones(count))


def _end(points: Floats) -> float | None:
    """Height at which the points [n,3] end on both sides; None where there are too few of them."""
    sides = _sides(points)
    if min(len(side) for side in sides) < FEWEST:
        return None
    return float(max(np.quantile(side[:, 1], END) for side in sides))


def _sides(points: Floats) -> tuple[Floats, Floats]:
    """The points [n,3] on the right of the subject and those on its left."""
    return points[points[:, 0] < 0], points[points[:, 0] > 0]


def _edge(side: Floats, level: float, quantile: float) -> float:
    """How far to the side points [n,3] reach at a height, meters: at the nearest height where there are any."""
    away = np.abs(side[:, 1] - level)
    return float(np.quantile(np.abs(side[away < max(BAND, away.min() + BAND), 0]), quantile))


def _sheet(
    points: Floats, extent: tuple[float, float, float], reach: Floats, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Places [count,3] and outward normals [count,3] of a sheet from the left edge of points around to the right one.

    Args:
        points: [n,3] meters, skull frame.
        extent: heights of its upper and lower end, and the quantile of the points that is their edge.
        reach: [LEVELS] how far back it goes at heights between these, meters.
        count: number of places.
        rng: random numbers.
    """
    top, end, quantile = extent
    levels = np.linspace(top, end, LEVELS)
    height = rng.uniform(end, top, count)
    turn = np.arcsin(rng.uniform(-1, 1, count)) * SIDE / (np.pi / 2)
    edges = [np.array([_edge(side, level, quantile) for level in levels]) for side in _sides(points)]
    left, right = (np.interp(-height, -levels, edge) for edge in edges)
    back = np.interp(-height, -levels, reach)
    place = np.stack([np.where(turn < 0, left, right) * np.sin(turn), height, -back * np.cos(turn)], 1)
    normals = np.stack([np.sin(turn), np.zeros(count), -np.cos(turn)], 1)
    return place, normals


def _bound(head: HeadModel, place: Floats, normals: Floats, weight: Floats) -> SurfaceSamples:
    """Samples at `place` [n,3] with outward `normals` [n,3] and skinning weights of the torso [n], hanging down."""
    spacing = np.ones(len(place))  # not used: `with_sheet` gives the sizes
    points = MattePoints(place, np.full(len(place), weight.min() == 1), weight, spacing, np.eye(3))
    bound = bind_to_mesh(head, points)
    corners = head.v_template.double()[head.faces[torch.from_numpy(bound.face)]]
    down = np.tile([0.0, -1.0, 0.0], (len(place), 1))
    return replace(bound, quat=strand_quats(triangle_frames(corners).numpy(), down, normals))
