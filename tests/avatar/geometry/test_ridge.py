"""Ridge regression: a linear map is recovered, noise is not mistaken for one."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.geometry.ridge import cross_validate, ridge


def made(count: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Features [n,4], target [n,2] and the map [4,2] between them."""
    source = torch.Generator().manual_seed(0)
    features = torch.randn(count, 4, generator=source, dtype=torch.float64)
    features[:, 0] = 1
    weights = torch.randn(4, 2, generator=source, dtype=torch.float64)
    return features, features @ weights + noise * torch.randn(count, 2, generator=source, dtype=torch.float64), weights


def test_a_linear_map_is_recovered() -> None:
    features, target, weights = made(60, 0.0)
    assert torch.allclose(ridge(features, target, features.new_full((2,), 1e-9)), weights, atol=1e-5)
    found = cross_validate(features, target)
    assert (found.damping == 1e-6).all() and (found.explained > 0.999).all()
    assert (found.gate > 0.999).all()


def test_noise_is_not_predictable() -> None:
    features, _, _ = made(60, 0.0)
    target = torch.randn(60, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = cross_validate(features, target)
    assert (found.explained < 0.05).all() and (found.gate < 0.05).all()


def test_each_output_has_its_own_damping_and_gate() -> None:
    features, target, _ = made(60, 0.0)
    target[:, 1] = torch.randn(60, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = cross_validate(features, target)
    assert found.gate[0] > 0.999 > 0.05 > found.gate[1] and found.damping[0] < found.damping[1]


def test_the_constant_is_not_damped() -> None:
    features = torch.ones(20, 1, dtype=torch.float64)
    assert torch.allclose(
        ridge(features, 3 * features, torch.tensor([10.0]).double()), torch.tensor(3.0, dtype=torch.float64)
    )


def test_slack_prefers_a_smaller_damping_that_fits_about_as_well() -> None:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    features = torch.cat([torch.ones(60, 1, dtype=torch.float64), inputs], 1)
    target = 0.15 * inputs[:, :1] + torch.randn(60, 1, generator=generator, dtype=torch.float64)
    strict, slack = (cross_validate(features, target, slack=value) for value in (0.0, 0.15))
    assert slack.damping < strict.damping
    assert strict.squares < slack.squares <= 1.15 * strict.squares
