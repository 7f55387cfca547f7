"""The low-pass filter of the scales: against float64, its gradient, and that every way of rendering applies it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.sampling import Sampling
from avatar.rendering.animator import Animator
from avatar.rendering.render import render, to_uint8

FILTER = 4e-4  # meters


def scales() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.exp(4 * torch.randn(2, 50, 3, generator=generator) - 8)


def test_the_filter_equals_its_formula_in_double() -> None:
    found = Sampling(FILTER).widened(scales())
    expected = torch.sqrt(scales().double() ** 2 + FILTER**2)
    assert ((found - expected).abs() / expected).max() < 3e-7  # three roundings of float32


def test_the_gradient_of_the_filter_matches_finite_differences() -> None:
    values = (1e3 * scales().double()).clamp(1e-2, 10).requires_grad_()
    assert torch.autograd.gradcheck(Sampling(0.4).widened, values)


def test_the_gradient_of_the_filter_in_single_equals_that_in_double() -> None:
    single, double = scales().requires_grad_(), scales().double().requires_grad_()
    factor = torch.linspace(-1, 1, 300).reshape(2, 50, 3)
    (Sampling(FILTER).widened(single) * factor).sum().backward()
    (torch.sqrt(double**2 + FILTER**2) * factor).sum().backward()
    assert single.grad is not None and double.grad is not None
    assert (single.grad - double.grad).abs().max() < 1e-6


def test_no_filter_returns_the_very_same_scales() -> None:
    values = scales()
    assert Sampling().widened(values) is values


@pytest.fixture(params=[Sampling(), Sampling(FILTER, 0.1), Sampling(0.0, 2.0)], ids=str)
def sampled(request: pytest.FixtureRequest, tiny_avatar: Avatar) -> Iterator[Avatar]:
    """The tiny avatar with a sampling."""
    own = tiny_avatar.sampling
    tiny_avatar.sampling = request.param
    yield tiny_avatar
    tiny_avatar.sampling = own


def test_gaussians_have_the_widened_scales_and_the_dilation(sampled: Avatar, tiny: Capture) -> None:
    """The filter comes after the stretch: it is a size in the image, not of the skin."""
    with torch.no_grad():
        gaussians = sampled(tiny.params([3]))
        widening, sampled.sampling = sampled.sampling, Sampling()
        stretched = sampled(tiny.params([3])).scales[0].double()
        sampled.sampling = widening
        expected = torch.sqrt(stretched**2 + sampled.sampling.filter_scale**2)
    assert torch.allclose(gaussians.scales[0].double(), expected, rtol=1e-5)
    assert gaussians.dilation == sampled.sampling.dilation


def test_animator_and_render_use_the_sampling_of_the_avatar(sampled: Avatar, tiny: Capture) -> None:
    camera, params = tiny.camera(64), tiny.params([3])
    with torch.no_grad():
        gaussians = sampled(params)
        expected = ops.splat(
            gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh, camera,
            dilation=sampled.sampling.dilation,
        )  # fmt: skip
        rendered = render(gaussians, camera)
    over_white = (expected.rgb + (1 - expected.alpha)[..., None])[0]
    assert torch.equal(rendered.rgb[0], over_white)
    shown = Animator(sampled, 64, 64).render(params, camera).numpy()
    assert np.abs(shown.astype(int) - to_uint8(over_white).numpy()).max() <= 3  # its basis has half precision


def test_the_dilation_of_gaussians_changes_the_image(tiny_avatar: Avatar, tiny: Capture) -> None:
    with torch.no_grad():
        gaussians, camera = tiny_avatar(tiny.params([3])), tiny.camera(64)
        sharp, blurred = (render(replace(gaussians, dilation=value), camera).rgb for value in (0.1, 2.0))
    assert (sharp - blurred).abs().max() > 0.05


def test_training_takes_the_filter_from_the_pixel_size_of_the_frames(tiny: Capture, tiny_avatar: Avatar) -> None:
    camera = tiny.camera(64)
    pixel = 0.6 / camera.K[0, 0, 0].item()  # the tiny head is 0.6 m from its camera
    assert tiny_avatar.sampling.filter_scale == pytest.approx(0.4 * pixel, rel=0.1)
    assert tiny_avatar.sampling.dilation == pytest.approx(0.05)
