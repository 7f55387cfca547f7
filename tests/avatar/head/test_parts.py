"""The embedded head's separate meshes and their half-density versions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from avatar.head.anatomy import base
from avatar.head.anatomy.parts import Part
from tools.head import eyes
from tools.head.assemble import make_parts
from tools.head.cage import build_cage

from .measures import normals

PARTS = {part.name: part for part in make_parts(build_cage(base.load()))}
by_name = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())


def _border(faces: np.ndarray) -> set[tuple[int, int]]:
    sides = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2), 1)
    return {edge for edge, uses in Counter(map(tuple, sides.tolist())).items() if uses == 1}


@by_name
def test_half_density_is_a_subset_of_about_a_quarter_to_a_half(part: Part) -> None:
    ids, faces = part.half
    assert (np.diff(ids) > 0).all() and ids.max() < len(part.vertices)
    assert np.array_equal(np.unique(faces), np.arange(len(ids)))
    assert 0.2 < len(ids) / len(part.vertices) < 0.5


@by_name
def test_half_density_has_the_winding_of_full_density(part: Part) -> None:
    """The texture island has the same orientation everywhere, at both densities."""
    ids, faces = part.half
    flat = np.column_stack([part.flat, np.zeros(len(part.flat))])
    areas = [normals(flat, part.faces)[:, 2], normals(flat[ids], faces)[:, 2]]
    assert len({*np.sign(areas[0]).tolist(), *np.sign(areas[1]).tolist()}) == 1


@by_name
def test_half_density_keeps_the_border_without_cracks(part: Part) -> None:
    """As many border loops as at full density, on vertices of the full border."""
    ids, faces = part.half
    full, half = _border(part.faces), _border(faces)
    on_border = {vertex for edge in full for vertex in edge}
    assert {int(ids[vertex]) for edge in half for vertex in edge} <= on_border
    ends = Counter(vertex for edge in half for vertex in edge)
    assert set(ends.values()) <= {2}


@by_name
def test_half_density_has_no_degenerate_triangle(part: Part) -> None:
    ids, faces = part.half
    assert np.linalg.norm(normals(part.vertices[ids], faces), axis=1).min() > 2e-5  # cm^2, twice the area


@pytest.mark.parametrize("side", ["left", "right"])
def test_half_density_keeps_the_iris_landmarks_and_edge(side: str) -> None:
    part = PARTS[f"{side}_eyeball"]
    ids = set(part.half[0].tolist())
    landmarks = eyes.iris_vertices(left=side == "left")
    assert set(landmarks) <= ids
    center = part.vertices[:-1].reshape(-1, eyes.COLUMNS, 3).mean(1).mean(0) * [1, 1, 0]
    radius = np.linalg.norm((part.vertices - center)[:, :2], axis=1)
    edge = np.flatnonzero(np.abs(radius - radius[landmarks[1]]) < 1e-6)
    assert len(ids & set(edge.tolist())) >= eyes.COLUMNS // 2


@by_name
def test_texture_islands_do_not_fold(part: Part) -> None:
    flat = np.column_stack([part.flat, np.zeros(len(part.flat))])
    sign = np.sign(normals(flat, part.faces)[:, 2])
    assert (sign == sign[0]).all() and sign[0] != 0


def test_ears_have_a_human_distance_from_the_head() -> None:
    """The rim's outermost point is 1.3 to 2.2 cm outside the skin next to it (adults' mean about 1.8)."""
    ear = PARTS["left_ear"].vertices
    root = np.quantile(ear[:, 0], 0.02)
    head_side = 7.15  # cm, half-width of the face at the tragus
    assert root < head_side
    assert 1.3 < ear[:, 0].max() - head_side < 2.2


def test_ears_extend_from_brow_to_nose_and_tilt_back() -> None:
    ear = PARTS["left_ear"].vertices
    assert 1.0 < ear[:, 1].max() < 2.4 and -5.2 < ear[:, 1].min() < -4.0
    top, bottom = ear[ear[:, 1] > 0.8].mean(0), ear[ear[:, 1] < -3.6].mean(0)
    lean = np.degrees(np.arctan2(bottom[2] - top[2], top[1] - bottom[1]))
    assert 8 < lean < 25


def test_teeth_are_wide_in_the_middle_and_their_gaps_recede() -> None:
    """Across the row at mid-crown the surface dips at the gaps between the six front teeth."""
    part = PARTS["teeth_upper"]
    rows = 11
    columns = len(part.vertices) // rows
    crown = part.vertices.reshape(rows, columns, 3)[4]
    front = crown[columns // 2 - 18 : columns // 2 + 19 : 6]
    middles = crown[columns // 2 - 15 : columns // 2 + 16 : 6]
    dip = (middles[:, 2] + 0.0) - (front[:-1, 2] + front[1:, 2]) / 2
    assert (dip > 0.03).all()
