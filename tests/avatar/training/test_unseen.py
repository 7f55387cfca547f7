"""What no frame shows: strands of hair, long hair on the neck, the back of the torso."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.geometry.rotations import quat_to_matrix, triangle_frames
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.training.hair_texture import as_strands, flow, strand_colors, strand_noise
from avatar.training.matte_sampling import MattePoints
from avatar.training.mesh_sampling import BACKWARD, SurfaceSamples, sample_mesh
from avatar.training.unseen import HAIR, TORSO, TORSO_DEPTH, rows_of, unseen_samples, with_sheet
from avatar.types import LocalGaussians

CHIN = -0.12


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def seen(*, hair_end: float = -0.2, right: bool = True, shoulders: float = 0.2, all_sides: bool = False) -> MattePoints:
    """Hair at both sides of the face down to a height, over a torso that gets as wide as `shoulders`."""
    side, height = (grid.ravel() for grid in np.meshgrid(np.arange(-0.25, 0.25, 4e-3), np.arange(-0.32, 0.1, 4e-3)))
    points = np.stack([side, height, np.full_like(side, -0.08)], 1)
    hair = (np.abs(side) > 0.08) & (np.abs(side) < 0.11) & (height > hair_end) & ((side > 0) | right)
    torso = (height < CHIN) & (np.abs(side) < np.minimum(0.06 + 3 * (CHIN - height - 0.03).clip(0), shoulders))
    weight = torso.astype(float)
    spacing = np.full(len(points), 4e-3)
    rows = hair | torso
    long = points[hair] if hair_end < CHIN else points[:0]
    values = (points[rows], torso[rows], weight[rows], spacing[rows])
    return MattePoints(*values, np.eye(3), CHIN, all_sides, long)


def places(head: HeadModel, samples: SurfaceSamples) -> np.ndarray:
    """Centers [n,3] of the samples on the resting mesh."""
    corners = head.v_template.double()[head.faces[torch.from_numpy(samples.face)]]
    offset = np.einsum("nij,nj->ni", triangle_frames(corners).numpy(), samples.offset)
    return (corners.numpy() * samples.bary[:, :, None]).sum(1) + offset


def sheets(head: HeadModel, points: MattePoints, most: int = 10**6) -> dict[str, SurfaceSamples]:
    names = {HAIR: "hair", TORSO: "torso"}
    found = unseen_samples(head, points, most, np.random.default_rng(0))
    return {names[sheet]: samples for sheet, samples in found}


def test_hair_falls_down_the_back_of_the_neck_as_far_as_at_its_sides(head: HeadModel) -> None:
    hair = sheets(head, seen())["hair"]
    place = places(head, hair)
    assert len(hair) == HAIR.count and place[:, 1].min() == pytest.approx(-0.2, abs=0.015)
    assert place[:, 2].min() < -0.17 and np.abs(place[:, 0]).max() < 0.125
    assert (place[np.abs(place[:, 0]) < 0.05, 2] < -0.14).all()
    neck, low = (hair.torso[np.abs(place[:, 1] - y) < 0.01].mean() for y in (0.0, -0.18))
    assert neck == 0 and low > 0.5
    frames = triangle_frames(head.v_template.double()[head.faces[torch.from_numpy(hair.face)]])
    axes = frames @ quat_to_matrix(torch.from_numpy(hair.quat))
    assert torch.allclose(axes[:, :, 0], torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("points", [seen(hair_end=-0.05), seen(right=False)], ids=["short", "at one side"])
def test_short_hair_and_hair_at_one_side_have_no_strands_on_the_neck(head: HeadModel, points: MattePoints) -> None:
    assert "hair" not in sheets(head, points)


def test_the_torso_is_a_body_behind_the_seen_shoulders(head: HeadModel) -> None:
    place = places(head, sheets(head, seen())["torso"])
    middle = np.abs(place[:, 0]) < 0.05
    low = place[:, 1] < -0.25
    assert place[:, 1].max() < CHIN - 0.03 and (place[:, 2] < -0.07).all()
    assert place[middle & low, 2].mean() == pytest.approx(-0.08 - TORSO_DEPTH * 0.2, abs=0.03)
    assert np.abs(place[low, 0]).max() == pytest.approx(0.2, abs=0.02)


def test_a_neck_alone_and_a_person_seen_from_all_sides_have_no_sheets(head: HeadModel) -> None:
    assert "torso" not in sheets(head, seen(shoulders=0.07))
    assert not sheets(head, seen(all_sides=True)) and not sheets(head, seen(), most=100)


def test_fewer_gaussians_of_a_sheet_are_larger(head: HeadModel) -> None:
    hair = sheets(head, seen(), most=225)["hair"]
    count = len(hair) + 5
    ones = torch.zeros(count)
    local = LocalGaussians(
        torch.zeros(count, 3), torch.zeros(count, 4), torch.zeros(count, 3), ones, torch.zeros(count, 3)
    )
    changed = with_sheet(local, HAIR, slice(5, count))
    along, across, depth = HAIR.sizes
    wanted = torch.tensor([2 * along, 2 * across, depth]).log()
    assert torch.allclose(changed.log_scales[5:], wanted.expand(225, 3)) and not changed.log_scales[:5].any()
    assert torch.equal(rows_of(HAIR, changed.logit_opacities), torch.arange(5, count))


def test_strands_lie_along_the_fall_of_the_hair_at_the_back_only(head: HeadModel) -> None:
    samples = sample_mesh(head, 8000, np.random.default_rng(0))
    count = len(samples)
    quats = torch.from_numpy(samples.quat).float()
    local = LocalGaussians(
        torch.zeros(count, 3), quats, torch.zeros(count, 3), torch.zeros(count), torch.zeros(count, 3)
    )
    changed = as_strands(local, head, samples)
    rows = (changed.log_scales[:, 0] != 0).nonzero()[:, 0]
    corners = head.v_template.double()[head.faces[torch.from_numpy(samples.face)[rows]]]
    frames = triangle_frames(corners)
    assert len(rows) > 100 and (frames[:, 2, 2] < BACKWARD).all()
    assert torch.equal(changed.quats[: rows[0]], quats[: rows[0]])
    axis = (frames @ quat_to_matrix(changed.quats[rows].double()))[:, :, 0]
    place = torch.einsum("nij,ni->nj", corners, torch.from_numpy(samples.bary)[rows])
    at_back = (place[:, 1].abs() < 0.03) & (place[:, 0].abs() < 0.04)
    assert (axis[at_back, 1] < -0.85).all() and float((axis * frames[:, :, 2]).sum(1).abs().max()) < 1e-5


def test_hair_falls_away_from_the_crown() -> None:
    normals = np.array([[0.0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0]])
    down = flow(np.array([0.0, 0, -0.08]) + 0.09 * normals, normals)
    assert np.allclose(np.linalg.norm(down, axis=1), 1) and np.allclose((down * normals).sum(1), 0)
    assert down[0, 1] < -0.99 and (down[1:3, 1] < -0.8).all() and down[3, 2] > 0.99


def test_noise_is_uniform_and_longer_than_wide() -> None:
    turn, fall = np.meshgrid(np.linspace(0, 2 * np.pi, 800, endpoint=False), np.linspace(0.8, 2.2, 60))
    across = np.cross([0.0, 0.8, -0.6], [1.0, 0, 0])
    ring = np.cos(turn)[..., None] * across + np.sin(turn)[..., None] * [1.0, 0, 0]
    points = 0.1 * (np.sin(fall)[..., None] * ring + np.cos(fall)[..., None] * [0, 0.8, -0.6]) + [0, 0, -0.08]
    noise = strand_noise(points.reshape(-1, 3))
    assert np.array_equal(noise, strand_noise(points.reshape(-1, 3)))
    assert np.allclose(np.quantile(noise, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01)
    grid = noise.reshape(turn.shape)
    step = 0.1 * 2 * np.pi / 800
    rows = round(step / (0.1 * 1.4 / 60) * 4) or 1
    assert np.abs(np.diff(grid[:, ::4], axis=1)).mean() > 3 * np.abs(np.diff(grid[::rows], axis=0)).mean()


def test_unseen_hair_is_as_light_and_dark_as_seen_hair() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(4000, 3)) * 0.1
    smooth = np.full((4000, 3), (0.4, 0.3, 0.2))
    factor = rng.choice([0.5, 1.5], size=(4000, 1))
    weight = np.where(np.arange(4000) < 2000, 1.0, 0.0)
    colors = strand_colors(smooth, points, smooth * factor, weight)
    ratio = colors[2000:, 0] / 0.4
    assert ratio.min() == pytest.approx(0.5**0.7, abs=0.03) and ratio.max() == pytest.approx(1.5**0.7, abs=0.03)
    assert np.allclose(colors[:, 1] / colors[:, 0], 0.75)
    few = replace_weight(weight, 20)
    assert strand_colors(smooth, points, smooth * factor, few) is smooth


def replace_weight(weight: np.ndarray, count: int) -> np.ndarray:
    """`weight` with all but the first `count` zero."""
    return np.where(np.arange(len(weight)) < count, weight, 0.0)
