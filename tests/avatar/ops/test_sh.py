"""Spherical harmonics: their definition, the colors of `ops.splat` made of them, and `ops.rotate_sh`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry.rotations import SH_C0, quat_multiply, quat_to_matrix
from avatar.rendering.render import render
from avatar.types import Camera, Gaussians
from tests.avatar.ops.splat_scenes import IMAGES, camera, largest, scene, sh_scene, splat_and_gradients

needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
DEGREES = (1, 4, 9, 16)
IMAGE_TOLERANCE = 1e-5  # as for plain colors: exp2 is accurate to 3e-6
GRADIENT_TOLERANCE = 1e-4
ROUNDING = 5e-6  # float32 against float64 through a few dozen operations
IDENTITY = torch.tensor([1.0, 0.0, 0.0, 0.0])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(normal(*shape, seed=seed), dim=-1)


def turned_camera(batch: int) -> Camera:
    """A camera away from the origin and turned, so that world axes are not camera axes."""
    view = camera(batch)
    turn = quat_to_matrix(unit(4, seed=5)).float()
    pose = torch.eye(4).repeat(batch, 1, 1)
    pose[:, :3, :3] = turn
    pose[:, :3, 3] = torch.tensor([0.02, -0.03, 0.9]) + turn @ torch.tensor([0.0, 0.0, 1.0])
    return replace(view, world_to_cam=pose)


# Definition.


def test_harmonics_are_orthonormal_on_the_sphere() -> None:
    # Gauss and Legendre in height, equal steps in longitude: exact for polynomials of degree 15.
    nodes, shares = torch.linalg.eigh(
        torch.diag_embed(torch.tensor([k / math.sqrt(4 * k * k - 1) for k in range(1, 8)], dtype=torch.float64), -1)
    )
    shares = 2 * shares[0] ** 2
    longitude = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    radius = (1 - nodes * nodes).sqrt()[:, None]
    height = nodes[:, None].expand(-1, 16)
    points = torch.stack([radius * longitude.cos(), radius * longitude.sin(), height], -1)
    basis = reference.sh_basis(points, 16)
    product = torch.einsum("ijd,ije,i->de", basis, basis, shares) * (2 * math.pi / 16)
    torch.testing.assert_close(product, torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0)


def test_first_two_bands_have_the_order_and_signs_of_3d_gaussian_splatting() -> None:
    x, y, z = 0.6, -0.48, 0.64
    found = reference.sh_basis(torch.tensor([x, y, z], dtype=torch.float64), 4)
    c = 0.4886025119029199
    expected = torch.tensor([SH_C0, -c * y, c * z, -c * x], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-15, rtol=0)


# Colors.


@pytest.mark.parametrize("terms", DEGREES)
def test_native_colors_and_gradients_match_reference_at_every_simd_level(level: str, terms: int) -> None:
    inputs, view = sh_scene(2, 61, terms), turned_camera(2)
    found, gradients = splat_and_gradients(ops.splat, inputs, view)
    expected, true_gradients = splat_and_gradients(reference.splat, tuple(v.double() for v in inputs), view)
    assert bool((expected.alpha > 0.5).any())
    for name in IMAGES:
        assert largest(getattr(found, name), getattr(expected, name)) < IMAGE_TOLERANCE
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < GRADIENT_TOLERANCE


def view_dependent_pull(splat: Callable[..., ops.SplatOutput], dtype: torch.dtype) -> Tensor:
    """The part of the means' gradient that comes through the view direction."""
    *geometry, sh = sh_scene(1, 61, dtype=dtype)
    view = turned_camera(1)
    pulls = []
    for colors in (sh, reference.sh_colors(sh.double(), geometry[0].double(), view).to(dtype)):
        means = geometry[0].clone().requires_grad_()
        pulls.append(torch.autograd.grad(splat(means, *geometry[1:], colors, view).rgb.sum(), means)[0])
    return pulls[0] - pulls[1]


@needs_native
def test_gradient_through_the_direction_reaches_the_means() -> None:
    expected = view_dependent_pull(reference.splat, torch.float64)
    assert float(expected.abs().max()) > 1.0
    assert largest(view_dependent_pull(ops.splat, torch.float32), expected) < GRADIENT_TOLERANCE


@pytest.mark.parametrize("terms", [1, 16])
def test_reference_gradients_match_finite_differences(terms: int) -> None:
    view = camera(1, 9, 7, focal=15.0)
    leaves = tuple(value.requires_grad_() for value in sh_scene(1, 4, terms, seed=3, dtype=torch.float64))

    def images(*values: Tensor) -> tuple[Tensor, ...]:
        out = reference.splat(*values, view, cutoff=False)
        return out.rgb, out.alpha, out.depth

    assert torch.autograd.gradcheck(images, leaves, eps=1e-6, atol=1e-5, fast_mode=True)


@needs_native
def test_images_and_gradients_are_bit_identical_at_any_thread_count() -> None:
    inputs, view = sh_scene(1, 2100), camera(1, 90, 70, focal=100.0)
    results = []
    for threads in (1, 2):
        cuda_ext.set_threads(threads)
        out, gradients = splat_and_gradients(ops.splat, inputs, view)
        results.append((out.rgb, *gradients))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_one_term_equals_its_constant_color() -> None:
    *geometry, sh = sh_scene(1, 60, terms=1)
    colors = (0.5 + SH_C0 * sh[:, :, 0]).clamp_min(0.0)
    with_sh, plain = ops.splat(*geometry, sh, camera()), ops.splat(*geometry, colors, camera())
    torch.testing.assert_close(with_sh.rgb, plain.rgb, atol=1e-6, rtol=0)


def test_a_channel_clamped_at_black_gets_no_gradient() -> None:
    means, quats, scales, opacities, sh = sh_scene(1, 30)
    sh[:, :, :, 1] = 0
    sh[:, :, 0, 1] = -3.0
    means, sh = means.requires_grad_(), sh.requires_grad_()
    rgb = ops.splat(means, quats, scales, opacities, sh, camera()).rgb
    assert (rgb[..., 1] == 0).all()
    grad_means, grad_sh = torch.autograd.grad(rgb[..., 1].sum(), (means, sh))
    assert (grad_sh == 0).all()
    assert (grad_means == 0).all()


@pytest.mark.parametrize("splat", [ops.splat, reference.splat], ids=["ops", "reference"])
def test_a_mean_at_the_camera_center_stays_finite(splat: Callable[..., ops.SplatOutput]) -> None:
    means, *rest = sh_scene(1, 30)
    means[:, 7] = 0
    out, gradients = splat_and_gradients(splat, (means, *rest), camera())
    assert out.rgb.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("splat", [ops.splat, reference.splat], ids=["ops", "reference"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("field", range(5))
def test_a_number_that_is_not_finite_culls_only_its_gaussian(  # type: ignore[no-untyped-def]
    splat, field: int, bad: float
) -> None:
    inputs, view = sh_scene(1, 30), camera()
    kept = torch.arange(30) != 11
    broken = tuple(value.clone() for value in inputs)
    broken[field].view(30, -1)[11, -1] = bad
    out, gradients = splat_and_gradients(splat, broken, view)
    clean, clean_gradients = splat_and_gradients(splat, tuple(value[:, kept] for value in inputs), view)
    assert torch.equal(out.rgb, clean.rgb)
    for gradient, clean_gradient in zip(gradients, clean_gradients, strict=True):
        assert (gradient[:, 11] == 0).all()
        torch.testing.assert_close(gradient[:, kept], clean_gradient)


def test_splat_without_gaussians_accepts_coefficients() -> None:
    out, gradients = splat_and_gradients(ops.splat, sh_scene(1, 0), camera())
    assert (out.rgb == 0).all()
    assert gradients[4].shape == (1, 0, 16, 3)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 5, 5, 3), "colors: expected 1, 4, 9 or 16 spherical-harmonic terms (axis 2), got 5"),
        ((1, 4, 4, 3), "colors: expected [1,5,D,3], got [1,4,4,3]"),
    ],
)
def test_splat_names_coefficients_of_wrong_shape(shape: tuple[int, ...], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        ops.splat(*scene(1, 5)[:4], torch.zeros(shape), camera())
    assert str(caught.value) == text


@needs_native
def test_native_calls_refuse_an_unsupported_number_of_terms() -> None:
    with pytest.raises(ValueError, match="spherical harmonics must have 1, 4, 9 or 16 terms"):
        cuda_ext.native().rotate_sh(torch.zeros(1, 1, 5, 3), torch.zeros(1, 1, 4), torch.zeros(1, 1, 5, 3))


def gaussians(terms: int) -> Gaussians:
    return Gaussians(*sh_scene(1, 60, terms))


def test_render_evaluates_more_than_one_term_at_the_cameras_position() -> None:
    given, view = gaussians(16), turned_camera(1)
    expected = ops.splat(given.means, given.quats, given.scales, given.opacities, given.sh, view)
    behind = (1 - expected.alpha)[..., None]
    assert torch.equal(render(given, view).rgb, expected.rgb + behind)


def test_render_with_higher_terms_of_zero_equals_render_with_one_term() -> None:
    one = gaussians(1)
    more = replace(one, sh=torch.nn.functional.pad(one.sh, (0, 0, 0, 8)))
    torch.testing.assert_close(render(more, camera()).rgb, render(one, camera()).rgb, atol=1e-6, rtol=0)


# Rotation.


def rotated_and_gradients(rotate: Callable[[Tensor, Tensor], Tensor], terms: int, dtype: torch.dtype) -> list[Tensor]:
    sh = normal(2, 37, terms, 3).to(dtype).requires_grad_()
    quats = (unit(2, 37, 4, seed=1) * (0.5 + normal(2, 37, 1, seed=2).abs())).to(dtype).requires_grad_()
    out = rotate(sh, quats)
    pull = normal(*out.shape, seed=3).to(dtype)
    return [out, *torch.autograd.grad((out * pull).sum(), (sh, quats), allow_unused=True)]


@pytest.mark.parametrize("terms", DEGREES)
def test_native_rotation_and_its_gradients_match_reference_at_every_simd_level(level: str, terms: int) -> None:
    found = rotated_and_gradients(ops.rotate_sh, terms, torch.float32)
    expected = rotated_and_gradients(reference.rotate_sh, terms, torch.float64)
    assert largest(found[0], expected[0]) < ROUNDING
    assert largest(found[1], expected[1]) < ROUNDING
    if terms == 1:
        assert (found[2] == 0).all()
    else:
        assert largest(found[2], expected[2]) < ROUNDING


def test_reference_rotation_gradients_match_finite_differences() -> None:
    leaves = normal(1, 3, 16, 3).requires_grad_(), normal(1, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(reference.rotate_sh, leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["native", "reference"])
def test_rotated_coefficients_along_a_turned_direction_equal_the_originals_along_it(dtype: torch.dtype) -> None:
    sh, quats, directions = normal(1, 20, 16, 3), unit(1, 20, 4, seed=1), unit(20, 3, seed=2)
    turned = (quat_to_matrix(quats[0]) @ directions[..., None]).squeeze(-1)
    carried = ops.rotate_sh(sh.to(dtype), quats.to(dtype))[0].double()
    found = torch.einsum("nd,ndc->nc", reference.sh_basis(turned, 16), carried)
    expected = torch.einsum("nd,ndc->nc", reference.sh_basis(directions, 16), sh[0])
    assert largest(found, expected) < (ROUNDING if dtype == torch.float32 else 1e-12)


def test_rotating_twice_equals_rotating_by_the_product() -> None:
    sh = normal(1, 20, 16, 3).float()
    first, second = unit(1, 20, 4, seed=1).float(), unit(1, 20, 4, seed=2).float()
    twice = ops.rotate_sh(ops.rotate_sh(sh, first), second)
    assert largest(twice, ops.rotate_sh(sh, quat_multiply(second, first))) < ROUNDING


@pytest.mark.parametrize("quat", [IDENTITY, -IDENTITY, 0 * IDENTITY], ids=["one", "minus one", "zero"])
def test_the_identity_rotation_keeps_coefficients(quat: Tensor) -> None:
    sh = normal(1, 20, 16, 3).float()
    assert largest(ops.rotate_sh(sh, quat.expand(1, 20, 4)), sh) < 1e-6


def test_a_quaternion_of_zero_gets_a_finite_gradient() -> None:
    sh, quats = normal(1, 3, 16, 3).float(), torch.zeros(1, 3, 4, requires_grad=True)
    assert torch.autograd.grad(ops.rotate_sh(sh, quats).square().sum(), quats)[0].isfinite().all()


def test_rotation_keeps_the_power_of_every_band() -> None:
    sh = normal(1, 20, 16, 3).float()
    carried = ops.rotate_sh(sh, unit(1, 20, 4, seed=1).float())
    for band in range(4):
        part = slice(band * band, (band + 1) ** 2)
        found, expected = (value[:, :, part].square().sum(2) for value in (carried, sh))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@needs_native
def test_rotation_is_bit_identical_at_any_thread_count() -> None:
    sh, quats = normal(1, 5000, 9, 3).float(), unit(1, 5000, 4, seed=1).float()
    results = []
    for threads in (1, 2):
        cuda_ext.set_threads(threads)
        results.append(ops.rotate_sh(sh, quats))
    assert torch.equal(*results)


def test_rotation_names_the_argument_of_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"quats: expected \[1,4,4\], got \[1,5,4\]"):
        ops.rotate_sh(torch.zeros(1, 4, 9, 3), torch.zeros(1, 5, 4))
    with pytest.raises(ValueError, match=r"sh: expected 1, 4, 9 or 16 spherical-harmonic terms \(axis 2\), got 3"):
        ops.rotate_sh(torch.zeros(1, 4, 3, 3), torch.zeros(1, 4, 4))
