"""The light of a clip from colors that were made with a known light."""

from __future__ import annotations

import torch

from avatar.model.avatar import Avatar
from avatar.model.parts.light.estimate import _fit, _light_model, _Observed
from avatar.model.parts.light.harmonics import ambient, directional, open_transfer
from avatar.model.parts.light.head_light import HeadLight, reflect
from avatar.model.prior import head_prior


def test_a_light_on_the_mean_head_is_found() -> None:
    prior = head_prior()
    transfer = open_transfer(torch.from_numpy(prior.normals))
    true = ambient(torch.ones(3)) * 0.6 + directional(torch.tensor([0.9, 0.3, 0.4]), torch.full((3,), 0.7))
    colors = torch.from_numpy(prior.mean) + reflect(transfer, true.double()).log()
    front = (torch.from_numpy(prior.normals)[:, 2] > 0.1).double()
    found = _fit(prior, _Observed(transfer, colors, front), None)
    shape, expected = found[1:4, 1] / found[0, 1], true[1:4, 1].double() / true[0, 1]
    assert float(torch.cosine_similarity(shape, expected, dim=0)) > 0.9
    assert float((shape - expected).norm()) < 0.5 * float(expected.norm())


def test_the_derivatives_of_the_model_are_those_of_differences() -> None:
    transfer = open_transfer(torch.from_numpy(head_prior().normals[:20]))
    at = 0.1 * torch.randn(36, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, jacobian = _light_model(transfer, at)
    for column in (0, 2, 4, 9, 23, 35):
        step = torch.zeros(36, dtype=torch.float64)
        step[column] = 1e-6
        difference = (_light_model(transfer, at + step)[0] - _light_model(transfer, at - step)[0]) / 2e-6
        assert torch.allclose(jacobian[..., column], difference, atol=1e-4 + (0.15 if column < 4 else 0))


def test_the_light_of_an_avatar_is_finite_and_the_avatar_stays_as_it_is(
    tiny_avatar: Avatar, bright_avatar: Avatar
) -> None:
    light = bright_avatar.part(HeadLight)
    assert light is not None and tiny_avatar.part(HeadLight) is None and light.transfer.shape == (len(tiny_avatar), 9)
    assert bool((light.coefficients[0] > 0).all()) and bool(light.coefficients.isfinite().all())
