"""The embedded head's neutral shape."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from avatar.head import HeadModel, load_head
from avatar.head.anatomy import base
from avatar.head.anatomy.indices import CREASE_UPPER, CREASE_UPPER_FAR, LIP_LOWER, LIP_UPPER
from avatar.head.sheets import View
from avatar.ops import mesh as rasterize
from tools.head.cage import NOSTRIL_RIM, correct_depth

from .measures import mirror_of, normals, region, template


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def _skin_faces(head: HeadModel) -> np.ndarray:
    """Faces of the one connected skin, without ears and other parts."""
    faces = head.faces.numpy()
    connected = (
        (region(head, "skin") | region(head, "mouth_interior")) & ~region(head, "left_ear") & ~region(head, "right_ear")
    )
    return faces[connected[faces].all(1)]


def _edge_counts(faces: np.ndarray) -> Counter:
    sides = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2), 1)
    return Counter(map(tuple, sides.tolist()))


def test_the_template_is_symmetric(head: HeadModel) -> None:
    distance, mirror = mirror_of(template(head))
    assert distance.max() < 1e-4  # 1e-6 m
    assert (mirror[mirror] == np.arange(len(mirror))).all()


def test_no_edge_has_more_than_two_faces(head: HeadModel) -> None:
    assert max(_edge_counts(head.faces.numpy()).values()) == 2


def test_faces_at_an_inner_edge_have_consistent_winding(head: HeadModel) -> None:
    faces = head.faces.numpy()
    directed = Counter(map(tuple, np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2).tolist()))
    assert max(directed.values()) == 1


def test_the_skin_is_open_only_behind_the_lids_and_at_the_collar(head: HeadModel) -> None:
    border = [edge for edge, uses in _edge_counts(_skin_faces(head)).items() if uses == 1]
    neighbors: dict[int, list[int]] = {}
    for a, b in border:
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    loops, left = [], set(neighbors)
    while left:
        stack, loop = [left.pop()], set()
        while stack:
            vertex = stack.pop()
            loop.add(vertex)
            stack += [other for other in neighbors[vertex] if other not in loop]
        left -= loop
        loops.append(len(loop))
    assert sorted(loops) == [32, 32, 72]


def test_no_triangle_is_degenerate(head: HeadModel) -> None:
    area = np.linalg.norm(normals(template(head), head.faces.numpy()), axis=1) / 2
    assert area.min() > 1e-5  # cm^2


def _texture_areas(head: HeadModel) -> np.ndarray:
    """Signed areas [F] of the faces in the texture."""
    corners = head.uv[head.uv_faces].double().numpy()
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


def test_texture_areas_are_positive(head: HeadModel) -> None:
    assert _texture_areas(head).min() > 0
    assert head.uv.min() >= 0 and head.uv.max() <= 1


def test_the_face_has_most_of_the_texture(head: HeadModel) -> None:
    areas = _texture_areas(head)
    part = areas[region(head, "face")[head.faces.numpy()].all(1)].sum()
    assert part >= 0.55 and areas.sum() < 1


def test_texture_islands_do_not_overlap(head: HeadModel) -> None:
    """Rendering with reversed face order gives the same faces: no pixel center is covered twice."""
    size = 1024
    placed = head.uv * torch.tensor([1.0, 1.0]) - 0.5
    camera = torch.cat([placed, torch.ones(len(placed), 1)], 1)
    K = torch.tensor([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1.0]])
    forward, _, _ = rasterize(camera[None], head.uv_faces, K[None], size, size)
    backward, _, _ = rasterize(camera[None], head.uv_faces.flip(0), K[None], size, size)
    last = len(head.uv_faces) - 1
    same = forward == torch.where(backward >= 0, last - backward, backward)
    assert (~same).sum() <= 40  # pixel centers on shared edges


def test_nostrils_are_pockets(head: HeadModel) -> None:
    """Skin inside the nose is 0.7 to 1.5 cm above the nostril's rim."""
    vertices = template(head)
    for rim in (NOSTRIL_RIM, [int(base.load().mirror[index]) for index in NOSTRIL_RIM]):
        middle = vertices[list(rim)].mean(0)
        near = vertices[(np.linalg.norm((vertices - middle)[:, [0, 2]], axis=1) < 0.3) & region(head, "nose")]
        rise = near[:, 1] - middle[1]
        assert 0.7 < rise[rise < 1.25].max() < 1.3


def test_the_skull_has_a_human_size(head: HeadModel) -> None:
    vertices = template(head)[region(head, "skin") & ~region(head, "left_ear") & ~region(head, "right_ear")]
    skull = vertices[vertices[:, 1] > -3]
    assert abs(skull[:, 1].max() - 12) <= 0.5
    assert 14.8 <= np.ptp(skull[:, 0]) <= 16.0
    assert abs(skull[:, 2].min() + 17.8) <= 0.3


def test_landmarks_are_those_of_the_mean_face(head: HeadModel) -> None:
    """Within 0.02 cm of the depth-corrected mean face, except for the relaxed lids and the irises."""
    expected = base.load()
    found = head.landmarks(head.v_template[None])[0].double().numpy() * 100
    error = np.linalg.norm(found - correct_depth(expected.points), axis=1)
    lids = {*base_lids(), *(int(expected.mirror[index]) for index in base_lids())}
    others = [index for index in range(468) if index not in lids and index not in (13, 14)]
    assert error[others].max() < 0.02
    assert error[[13, 14]].max() < 0.04  # the lips were closed


def test_depth_corrections_keep_the_front_view(head: HeadModel) -> None:
    points = base.load().points
    moved = correct_depth(points) - points
    assert np.abs(moved[:, :2]).max() == 0
    assert np.abs(moved[:, 2]).max() < 0.45


def test_the_profile_is_an_adults(head: HeadModel) -> None:
    """Chin 3-7 mm behind the upper lip's root, nose tip within 0.62 of its length, a dip of 2-6 mm between the eyes."""
    z = template(head)[:, 2]
    assert 0.3 < z[2] - z[199] < 0.7
    nose = template(head)[[1, 168]]
    assert (z[4] - z[129]) / np.linalg.norm(nose[0] - nose[1]) < 0.62
    assert 0.2 < z[9] - z[168] < 0.6


def _half_widths(head: HeadModel, low: float, high: float) -> np.ndarray:
    skin = template(head)[region(head, "skin") & ~region(head, "left_ear") & ~region(head, "right_ear")]
    return np.abs(skin[(skin[:, 1] > low) & (skin[:, 1] < high), 0])


def test_the_neck_is_narrower_than_the_jaw(head: HeadModel) -> None:
    jaw = _half_widths(head, -7.4, -6.4).max()
    assert 0.6 * jaw < _half_widths(head, -14.6, -13.6).max() < 0.8 * jaw


def base_lids() -> tuple[int, ...]:
    """Landmarks of the right eye that are moved when the lids are relaxed."""
    edges = (33, 246, 161, 160, 159, 158, 157, 173, 133, 7, 163, 144, 145, 153, 154, 155)
    return (*edges, *CREASE_UPPER, *CREASE_UPPER_FAR, 25, 110, 24, 23, 22, 26, 112)


def test_neutral_lips_touch(head: HeadModel) -> None:
    vertices = template(head)
    gap = vertices[list(LIP_UPPER[3][1:])] - vertices[list(LIP_LOWER[3][1:])]
    assert np.linalg.norm(gap, axis=1).max() <= 0.02


def test_the_neutral_eye_opening_is_a_centimeter(head: HeadModel) -> None:
    vertices = template(head)
    assert abs(np.linalg.norm(vertices[159] - vertices[145]) - 1.0) < 0.05


@pytest.mark.parametrize("pitch", [-20.0, 0.0, 20.0])
def test_no_tooth_shows_through_closed_lips(head: HeadModel, pitch: float) -> None:
    visible = _visible_faces(head, pitch)
    for name in ("teeth_upper", "teeth_lower", "tongue", "mouth_interior"):
        assert not head.regions[name][visible].all(1).any(), name


def test_eyeballs_are_visible_between_the_lids(head: HeadModel) -> None:
    visible = _visible_faces(head, 0.0)
    for name in ("left_eyeball", "right_eyeball"):
        assert head.regions[name][visible].all(1).any()


def _visible_faces(head: HeadModel, pitch: float) -> torch.Tensor:
    """Corners [N,3] of the faces visible in a 400-pixel image of the neutral face."""
    view = View(center=(0.0, -0.04, 0.0), extent=0.16, size=400)
    angle = torch.tensor(pitch).deg2rad()
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.tensor([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    placed = (head.v_template - torch.tensor(view.center)) @ turn.T
    camera = placed * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, 0.9])
    focal = view.size * 0.9 / view.extent
    K = torch.tensor([[focal, 0, view.size / 2], [0, focal, view.size / 2], [0, 0, 1]])
    face, _, _ = rasterize(camera[None].contiguous(), head.faces, K[None], view.size, view.size)
    return head.faces[face[face >= 0].long().unique()]
