"""The limits on the Gaussians around a mouth with a mesh layer: they hold, and bind nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from avatar.geometry.rotations import triangle_frames
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.training.constraints import REACH
from avatar.training.parts.mouth_limits import (
    BRIGHTEST,
    DARKEST,
    EDGE_BRIGHTEST,
    EDGE_DARKEST,
    EDGE_FADE,
    EDGE_SHADE,
    EDGE_TINT,
    FAR,
    GONE,
    INWARD,
    MIN_SAMPLES,
    OPAQUE,
    OPAQUE_EDGE,
    REACH_SLOPE,
    SHADE,
    SMALLEST,
    TINT,
    MouthLimits,
)
from tests.avatar.driving.puppet import puppet


@pytest.fixture
def avatar() -> Avatar:
    """24 Gaussians without offsets, of which 20 have blendshapes."""
    avatar = puppet(load_head(), gaussians=24)
    assert MIN_SAMPLES + 2 < avatar.blendshapes.count < len(avatar)
    return avatar


def on(avatar: Avatar, row: int, faces: torch.Tensor) -> None:
    avatar.rig.triangles[row] = avatar.head.faces[faces.nonzero()[0, 0]]


def within(avatar: Avatar, limits: MouthLimits, inner: bool) -> torch.Tensor:
    """Mask of the faces on the inner edge of the lips, or away from it."""
    faces = avatar.head.faces
    return (
        limits.inner[faces].all(1) if inner else (limits.lips[faces] & (limits.from_edge >= EDGE_FADE[1])[faces]).all(1)
    )


def applied(avatar: Avatar, limits: MouthLimits, initial: torch.Tensor | None = None) -> torch.Tensor:
    """Applies the limits in two frames; returns the features of these."""
    shapes = avatar.blendshapes
    features = shapes.mean + torch.linspace(-1, 1, 2 * len(shapes.mean)).reshape(2, -1)
    colors = avatar.colors.detach().clone() if initial is None else initial
    limits.apply(avatar, {"colors": colors, "log_scales": torch.full((len(avatar), 3), -6.0)}, avatar.weights(features))
    return features


def shown(avatar: Avatar, features: torch.Tensor, channels: slice) -> torch.Tensor:
    shapes = avatar.blendshapes
    return (shapes(avatar.weights(features))[..., channels] * shapes.units[channels]).detach()


def test_skin_near_the_lips_comes_back_to_a_distance_that_grows_from_the_lips(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    faces, points = avatar.head.faces, avatar.head.v_template
    reach = limits.reach[faces].amin(1)
    rows = [int((reach - target).abs().argmin()) for target in (REACH, REACH + REACH_SLOPE * 0.02)]
    for k, face in enumerate(rows):
        avatar.rig.triangles[k] = faces[face]
        avatar.offsets.data[k, 1] = -0.03
        avatar.blendshapes.basis.data[0, k, 0] = 2.0
    features = applied(avatar, limits)
    moved = (avatar.offsets[: avatar.blendshapes.count] + shown(avatar, features, slice(0, 3))).norm(dim=2).amax(0)
    torch.testing.assert_close(moved[:2], reach[rows], rtol=1e-4, atol=0)
    away = torch.cdist(points[faces[rows[1]]].mean(0, keepdim=True), points[limits.lips]).min()
    assert 0.01 < float(away) < FAR


def test_skin_near_the_lips_hardly_goes_into_the_head(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    on(avatar, 0, limits.reach[avatar.head.faces].isfinite().all(1))
    on(avatar, 1, limits.reach[avatar.head.faces].isfinite().all(1))
    avatar.offsets.data[0] = torch.tensor([0.0005, 0.0, -0.0015])
    avatar.offsets.data[1] = torch.tensor([0.0005, 0.0, 0.0015])
    applied(avatar, limits)
    torch.testing.assert_close(avatar.offsets[0], torch.tensor([0.0005, 0.0, -INWARD]))
    torch.testing.assert_close(avatar.offsets[1], torch.tensor([0.0005, 0.0, 0.0015]))


def test_skin_far_from_the_lips_may_sit_anywhere(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    on(avatar, 0, limits.reach[avatar.head.faces].isinf().all(1))
    avatar.offsets.data[0, 2] = -0.03
    applied(avatar, limits)
    assert float(avatar.offsets[0, 2]) == pytest.approx(-0.03)


def colored(avatar: Avatar, limits: MouthLimits) -> torch.Tensor:
    """Initial colors: gray lips, at rows from 2 on; row 0 is on their inner edge, 1 away from it."""
    inner, outer = within(avatar, limits, True), within(avatar, limits, False)
    on(avatar, 0, inner)
    for row in range(1, avatar.blendshapes.count):
        on(avatar, row, outer)
    initial = torch.full_like(avatar.colors, 0.4)
    avatar.colors.data[:] = 0.4
    return initial


def test_lips_are_not_brighter_than_those_around_least_of_all_the_inner_edge(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits)
    avatar.colors.data[:2] = 0.95
    applied(avatar, limits, initial)
    assert avatar.colors[0].tolist() == pytest.approx([0.4 * EDGE_BRIGHTEST] * 3, rel=1e-3)
    assert avatar.colors[1].tolist() == pytest.approx([0.4 * BRIGHTEST] * 3, rel=1e-3)
    torch.testing.assert_close(avatar.colors[2], initial[2])


def test_lips_are_not_much_darker_than_those_around_least_of_all_the_inner_edge(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits)
    avatar.colors.data[:2] = 0.05
    applied(avatar, limits, initial)
    for row, darkest in ((0, EDGE_DARKEST), (1, DARKEST)):
        assert avatar.colors[row].tolist() == pytest.approx([0.4 * darkest] * 3, rel=1e-3)


def test_lips_keep_the_tint_of_those_around_most_of_all_on_the_inner_edge(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits) * torch.tensor([1.5, 0.75, 0.75])
    avatar.colors.data[:2] = 0.4
    applied(avatar, limits, initial)
    for row, tint in ((0, EDGE_TINT), (1, TINT)):
        found = torch.tensor([0.6, 0.3, 0.3])
        expected = found + (torch.full((3,), 0.4) - found).clamp(-0.4 * tint, 0.4 * tint)
        torch.testing.assert_close(avatar.colors[row], expected, atol=1e-3, rtol=0)


def test_lips_near_the_inner_edge_are_limited_more_than_those_farther_away(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits)
    faces = avatar.head.faces
    away = limits.from_edge[faces]
    lips = limits.lips[faces].all(1) & ~limits.inner[faces].any(1)
    on(avatar, 0, lips & (away > EDGE_FADE[0]).all(1) & (away < sum(EDGE_FADE) / 2).all(1))
    on(avatar, 1, lips & (away >= EDGE_FADE[1]).all(1))
    avatar.colors.data[:2] = 0.05
    applied(avatar, limits, initial)
    near, far = avatar.colors[:2].mean(1).tolist()
    assert far == pytest.approx(0.4 * DARKEST, rel=1e-3)
    assert 0.4 * (DARKEST + EDGE_DARKEST) / 2 < near < 0.4 * EDGE_DARKEST


def test_blendshapes_change_the_color_of_lips_little(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits) * 2
    avatar.colors.data[:] = 0.8
    avatar.blendshapes.basis.data[0, :2, 7:10] = 0.4
    features = applied(avatar, limits, initial)
    change = shown(avatar, features, slice(7, 10))
    for row, shade in ((0, EDGE_SHADE), (1, SHADE)):
        assert float(change[:, row].abs().max()) == pytest.approx(shade * 0.8, rel=1e-3)


def test_gaussians_of_the_lips_keep_their_size(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits)
    on(avatar, 2, limits.reach[avatar.head.faces].isinf().all(1))
    avatar.log_scales.data[:] = torch.tensor([-9.0, -6.0, -5.0])
    applied(avatar, limits, initial)
    smallest = -6.0 + math.log(SMALLEST)
    torch.testing.assert_close(avatar.log_scales[:2], torch.tensor([smallest, -6.0, -5.0]).expand(2, 3))
    torch.testing.assert_close(avatar.log_scales[2], torch.tensor([-9.0, -6.0, -5.0]))


def test_lips_are_opaque_in_every_frame(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    initial = colored(avatar, limits)
    avatar.blendshapes.basis.data[0, :2, 10] = 1.0
    features = applied(avatar, limits, initial)
    logits = avatar.logit_opacities[: avatar.blendshapes.count] + shown(avatar, features, slice(10, 11))[..., 0]
    assert float(logits[:, 0].min()) == pytest.approx(OPAQUE_EDGE)
    assert float(logits[:, 1].min()) == pytest.approx(OPAQUE)


def position(avatar: Avatar, where: Callable[[MouthLimits], torch.Tensor]) -> float:
    """Logit of a Gaussian without blendshapes, put at a point of the neutral head, after the limits."""
    limits, row = MouthLimits(avatar.head), len(avatar) - 1
    assert row >= avatar.blendshapes.count
    corners = avatar.head.v_template[avatar.rig.triangles[row]]
    at = (corners * avatar.rig.bary[row, :, None]).sum(0)
    avatar.offsets.data[row] = triangle_frames(corners[None])[0].T @ (where(limits) - at)
    applied(avatar, limits)
    return float(avatar.logit_opacities[row])


def test_a_gaussian_of_the_neck_inside_the_mouth_vanishes(avatar: Avatar) -> None:
    assert position(avatar, lambda limits: (limits.low + limits.high) / 2) == GONE


def test_a_gaussian_in_front_of_the_mouth_stays(avatar: Avatar) -> None:
    ahead = torch.tensor([0.0, 0.0, 0.03])
    assert position(avatar, lambda limits: limits.high * ahead.sign() + ahead) == 0


def test_lips_that_no_frame_shows_get_the_color_of_those_that_frames_show(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    colored(avatar, limits)
    avatar.colors.data[0] = torch.tensor([0.9, 0.9, 0.9])
    coverage = torch.full((len(avatar),), 10.0)
    coverage[0] = 0.0
    limits.color_hidden(avatar, coverage)
    torch.testing.assert_close(avatar.colors[0], torch.full((3,), 0.4))


def test_relocation_never_takes_a_gaussian_of_the_lips(avatar: Avatar) -> None:
    limits = MouthLimits(avatar.head)
    on(avatar, 0, within(avatar, limits, True))
    on(avatar, 1, limits.reach[avatar.head.faces].isinf().all(1))
    used = limits.usable_contribution(avatar, torch.zeros(len(avatar)))
    assert used[0] == torch.inf and used[1] == 0
