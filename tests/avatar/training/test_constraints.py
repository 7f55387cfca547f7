"""The limits on Gaussians in training: they hold, and bind nothing else."""

from __future__ import annotations

import math

import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.training import constraints
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from tests.support.sample_avatar import small_avatar

SLACK = 1e-5  # float32


def limited(log_scales: list[float], initial: float = 0.0) -> list[float]:
    avatar = small_avatar("reduced")
    avatar.log_scales.data[0] = torch.tensor(log_scales)
    before = torch.full_like(avatar.log_scales, -1.0)
    before[0, 1] = initial
    constraints.Limits(avatar).apply(before)
    return [float(value) for value in avatar.log_scales[0]]


def test_a_needle_becomes_shorter_and_keeps_its_middle_axis() -> None:
    for order in ([0, 1, 2], [1, 2, 0], [2, 1, 0]):
        values = [(-6.5, -6.0, -2.0)[k] for k in order]
        expected = [(-6.0 + math.log(6 / 8), -6.0, -6.0 + math.log(6))[k] for k in order]
        assert torch.allclose(torch.tensor(limited(values)), torch.tensor(expected))


def test_a_disc_and_a_round_gaussian_stay() -> None:
    for values in ([-6.0, -5.0, -4.0], [-5.0, -5.0, -5.0]):
        assert limited(values) == values


def test_a_disc_seen_from_its_edge_is_no_needle() -> None:
    found = limited([-20.0, -5.0, -4.0])
    assert found[1:] == [-5.0, -4.0]
    assert abs(found[0] - (-4.0 - math.log(constraints.MAX_THINNESS))) < SLACK


def test_no_axis_is_more_than_three_times_the_initial_size() -> None:
    assert max(limited([-3.0, -3.0, -3.0], initial=-6.0)) <= -1.0 + math.log(3) + SLACK
    assert max(limited([2.0, 2.0, 1.5], initial=-0.5)) <= -0.5 + math.log(3) + SLACK


def test_colors_are_clamped_and_nothing_else_changes() -> None:
    avatar = small_avatar("reduced")
    avatar.colors.data[0] = torch.tensor([-0.5, 0.5, 3.0])
    before = {name: value.clone() for name, value in avatar.state_dict().items()}
    constraints.Limits(avatar).apply(avatar.log_scales + 10)
    after = avatar.state_dict()
    assert torch.equal(after["colors"][0], torch.tensor([-0.01, 0.5, 1.01]))
    unchanged = set(before) - {"colors", "log_scales"}
    assert all(torch.equal(before[name], after[name]) for name in unchanged)


def ratio(avatar: Avatar) -> float:
    axes = avatar.log_scales.detach().sort(1).values
    return float((axes[:, 2] - axes[:, 1]).max().exp())


def test_the_limits_hold_after_a_training(tiny: Capture) -> None:
    config = TrainConfig(size=64, steps=40, gaussians=500, refine_at=1.0)
    avatar = fit(tiny, load_head(), config).avatar
    assert ratio(avatar) <= constraints.MAX_RATIO * (1 + SLACK)
    low, high = avatar.colors.aminmax()
    assert low >= constraints.COLOR_LOW and high <= constraints.COLOR_HIGH


def reaching(offset: float, basis: float) -> tuple[Avatar, torch.Tensor]:
    """The sample avatar with the first Gaussian far from its triangle, which is of the lips, and features of frames."""
    avatar = small_avatar("reduced")
    for name in constraints.OPENINGS:
        avatar.head.regions.pop(name, None)
    avatar.head.regions["lips"] = torch.zeros(len(avatar.head.v_template), dtype=torch.bool)
    avatar.head.regions["lips"][avatar.rig.triangles[0]] = True
    avatar.offsets.data.zero_()
    avatar.blendshapes.basis.data.zero_()
    avatar.offsets.data[0, 0] = offset
    avatar.blendshapes.basis.data[0, 0, 0] = basis
    count = len(avatar.blendshapes.mean)
    return avatar, avatar.blendshapes.mean + torch.linspace(-1, 1, 2 * count).reshape(2, count)


def farthest(avatar: Avatar, features: torch.Tensor) -> torch.Tensor:
    shapes = avatar.blendshapes
    moved = shapes(avatar.weights(features))[..., :3] * shapes.units[:3] + avatar.offsets[: shapes.count]
    return moved.norm(dim=2).amax(0)


def test_a_lip_gaussian_far_from_its_triangle_comes_back_to_the_limit_with_its_blendshapes() -> None:
    avatar, features = reaching(0.02, 3.0)
    ratio = avatar.blendshapes.basis[0, 0, 0] / avatar.offsets[0, 0]
    constraints.Limits(avatar).limit_reach(avatar.weights(features))
    assert torch.allclose(farthest(avatar, features)[0], torch.tensor(constraints.REACH), rtol=1e-4)
    assert torch.allclose(avatar.blendshapes.basis[0, 0, 0] / avatar.offsets[0, 0], ratio, rtol=1e-4)


def unchanged(avatar: Avatar, features: torch.Tensor) -> bool:
    before = {name: value.clone() for name, value in avatar.state_dict().items()}
    constraints.Limits(avatar).limit_reach(avatar.weights(features))
    return all(torch.equal(before[name], value) for name, value in avatar.state_dict().items())


def test_a_lip_gaussian_within_the_limit_keeps_every_bit() -> None:
    assert unchanged(*reaching(0.001, 0.05))


def test_gaussians_elsewhere_may_be_far_away() -> None:
    avatar, features = reaching(0.02, 3.0)
    avatar.head.regions["lips"][:] = False
    assert unchanged(avatar, features)
