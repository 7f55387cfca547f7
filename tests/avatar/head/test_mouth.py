"""The embedded head's lips and tongue."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from avatar.head import HeadModel, load_head, sheets
from avatar.head.anatomy.indices import CORNERS, LIP_LOWER, LIP_UPPER
from avatar.head.sheets import View
from avatar.ops import mesh as rasterize
from tools.head.mesh import rotation_x

from .measures import mirror_of, posed, region, template

INSIDE = ("teeth_upper", "teeth_lower", "tongue", "mouth_interior")
ONE_SIDED = (
    "mouthSmileRight", "mouthFrownRight", "mouthDimpleRight", "mouthStretchRight", "mouthPressRight",
    "mouthUpperUpRight", "mouthLowerDownRight",
)  # fmt: skip


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def _visible(head: HeadModel, weights: Mapping[str, float], pitch: float) -> torch.Tensor:
    """Corners [N,3] of the faces visible in a 400-pixel image of the lower face with an expression."""
    vertices = sheets.pose_vertices(head, weights)
    view = View(center=(0.0, -0.07, 0.0), extent=0.10, size=400)
    turned = (vertices - torch.tensor(view.center)) @ torch.from_numpy(rotation_x(pitch)).float().T
    camera = turned * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, 0.9])
    focal = view.size * 0.9 / view.extent
    K = torch.tensor([[focal, 0, view.size / 2], [0, focal, view.size / 2], [0, 0, 1]])[None]
    face, _, _ = rasterize(camera[None].contiguous(), head.faces, K, view.size, view.size)
    return head.faces[face[face >= 0].unique().long()]


def _parting(vertices: np.ndarray) -> np.ndarray:
    """Gap [9] between the lips' contact lines, upper minus lower height, both halves without the corners."""
    rest = [*LIP_UPPER[3][1:]], [*LIP_LOWER[3][1:]]
    return vertices[rest[0], 1] - vertices[rest[1], 1]


@pytest.mark.parametrize("pitch", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("lips", [("Upper",), ("Lower",), ("Upper", "Lower")])
def test_no_tooth_shows_through_rolled_lips(head: HeadModel, lips: tuple[str, ...], pitch: float) -> None:
    faces = _visible(head, {f"mouthRoll{lip}": 1.0 for lip in lips}, pitch)
    for name in INSIDE:
        assert not head.regions[name][faces].all(1).any(), name


@pytest.mark.parametrize("lip, rows", [("Upper", LIP_UPPER), ("Lower", LIP_LOWER)])
def test_a_rolled_lip_loses_most_of_its_red(head: HeadModel, lip: str, rows: tuple[tuple[int, ...], ...]) -> None:
    def height(vertices: np.ndarray) -> float:
        return abs(vertices[rows[0][-1], 1] - vertices[rows[3][-1], 1])

    assert height(posed(head, {f"mouthRoll{lip}": 1.0})) < 0.45 * height(template(head))


@pytest.mark.parametrize(
    "name",
    [
        "mouthSmileRight", "mouthFrownRight", "mouthDimpleRight", "mouthStretchRight", "mouthPressRight", "mouthPucker",
        "mouthLeft", "mouthShrugUpper", "mouthShrugLower", "noseSneerRight", "cheekPuff", "jawForward", "jawLeft",
    ],
)  # fmt: skip
def test_lips_stay_shut_in_shapes_that_do_not_open_them(head: HeadModel, name: str) -> None:
    """Gap and overlap of the contact lines are below a quarter of a millimeter."""
    assert np.abs(_parting(posed(head, {name: 1.0}))).max() < 0.025


@pytest.mark.parametrize("name", ONE_SIDED)
def test_one_sided_shapes_have_no_kink_at_the_midline(head: HeadModel, name: str) -> None:
    """The slope of the displacement along both contact lines changes less at the midline than 0.3 cm over 0.6 cm."""
    move = posed(head, {name: 1.0}) - template(head)
    for left, middle, right in ((312, 13, 82), (317, 14, 87)):
        assert np.linalg.norm(move[left] - 2 * move[middle] + move[right]) < 0.3


@pytest.mark.parametrize("name", [*ONE_SIDED, "mouthLeft", "mouthPucker", "mouthFunnel"])
def test_the_corner_of_the_mouth_moves_as_a_unit(head: HeadModel, name: str) -> None:
    move = (posed(head, {name: 1.0}) - template(head))[list(CORNERS)]
    assert np.abs(move - move.mean(0)).max() < 0.05


@pytest.mark.parametrize("name, row", [("mouthUpperUp", LIP_UPPER[3]), ("mouthLowerDown", LIP_LOWER[3])])
def test_both_sides_together_move_the_middle_of_the_lip_as_far_as_its_halves(
    head: HeadModel, name: str, row: tuple[int, ...]
) -> None:
    move = np.abs((posed(head, {f"{name}Left": 1.0, f"{name}Right": 1.0}) - template(head))[list(row), 1])
    assert move[-1] > 0.8 * move.max()


def test_the_funnel_opens_a_round_mouth(head: HeadModel) -> None:
    """Narrower by a fifth, open by at least 0.8 cm, half a centimeter forward, corners included."""
    rest, vertices = template(head), posed(head, {"mouthFunnel": 1.0})
    width = vertices[308, 0] - vertices[78, 0]
    assert width < 0.82 * (rest[308, 0] - rest[78, 0])
    assert 0.8 < vertices[13, 1] - vertices[14, 1] < 1.2
    assert (vertices - rest)[[0, 17, 61, 291], 2].min() > 0.45


def test_the_funnel_hides_most_of_the_lower_teeth(head: HeadModel) -> None:
    faces = _visible(head, {"mouthFunnel": 1.0}, 0.0)
    upper, lower = (int(head.regions[name][faces].all(1).sum()) for name in ("teeth_upper", "teeth_lower"))
    assert lower < 0.4 * upper


def test_an_open_jaw_narrows_the_mouth(head: HeadModel) -> None:
    rest, vertices = template(head), posed(head, {"jawOpen": 1.0})
    assert 0.80 < (vertices[291, 0] - vertices[61, 0]) / (rest[291, 0] - rest[61, 0]) < 0.95


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.75, 1.0])
def test_mouth_close_keeps_the_lips_together_over_a_jaw_opened_as_far(head: HeadModel, weight: float) -> None:
    assert np.abs(_parting(posed(head, {"jawOpen": weight, "mouthClose": weight}))).max() < 0.1


def test_the_tongue_comes_out_over_the_lower_lip(head: HeadModel) -> None:
    tongue = region(head, "tongue")
    vertices = posed(head, {"tongueOut": 1.0})
    lip = vertices[list(LIP_LOWER[0]), 2].max()
    assert vertices[tongue, 2].max() > lip + 1.0


def test_the_tongue_passes_between_the_open_lips(head: HeadModel) -> None:
    """Where it crosses the lower lip it is above the lip's contact line and below the upper lip's."""
    vertices = posed(head, {"tongueOut": 1.0})
    tongue = vertices[region(head, "tongue")]
    crossing = (np.abs(tongue[:, 0]) < 0.6) & (tongue[:, 2] > vertices[14, 2] - 0.3) & (tongue[:, 2] < vertices[16, 2])
    assert crossing.any()
    assert tongue[crossing, 1].min() > vertices[14, 1] - 0.02
    assert tongue[crossing, 1].max() < vertices[13, 1] + 0.02


def test_the_other_corner_hardly_moves_in_a_one_sided_smile(head: HeadModel) -> None:
    mirror = mirror_of(template(head))[1]
    move = np.linalg.norm(posed(head, {"mouthSmileRight": 1.0}) - template(head), axis=1)
    assert move[mirror[61]] < 0.02 < 0.5 < move[61]
