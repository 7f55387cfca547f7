"""The epsilon of Adam: Gaussians of which a frame shows hardly anything do not move by full steps on noise."""

from __future__ import annotations

import pytest
import torch

from avatar.training.adam import EPS_OF_GAUSSIANS, Group, Optimizer
from avatar.types import LOCAL_NAMES

RATE = 0.1


@pytest.mark.parametrize(
    ("gradient", "eps", "moved"), [(1e-10, 1e-15, RATE), (1e-10, 1e-7, 1e-3 * RATE), (1e-5, 1e-7, RATE)]
)
def test_the_epsilon_decides_which_gradients_are_noise(gradient: float, eps: float, moved: float) -> None:
    values = torch.zeros(4, 3)
    optimizer = Optimizer([Group("colors", values, RATE, axis=0, eps=eps)])
    values.grad = torch.full((4, 3), gradient)
    optimizer.step(1.0, torch.tensor([True, True, False, True]))
    assert values[:2].abs().numpy() == pytest.approx(moved, rel=0.05)
    assert not values[2].any()


def test_every_parameter_of_the_gaussians_has_an_epsilon() -> None:
    assert set(EPS_OF_GAUSSIANS) == set(LOCAL_NAMES)
