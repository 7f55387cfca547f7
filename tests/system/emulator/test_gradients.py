"""The native kernels in double: each operation alone against finite differences, and against its reference.

In double, rounding hides no error: a formula that is wrong by one part in a million fails here.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from avatar.reference import whole_image
from avatar.types import Camera
from tests.avatar.ops.flat import flat_bind, flat_deform
from tests.avatar.ops.layer_scenes import HEIGHT, WIDTH, intrinsics, layer_scene
from tests.avatar.ops.splat_scenes import IMAGES, Inputs, camera, largest, scene, sh_scene, splat_and_gradients
from tests.avatar.ops.test_small import LEARNED, bind_and_gradients, image_pair, random, rigged
from tests.avatar.ops.test_splat import OPTIONS
from tests.avatar.ops.test_strain import points
from tests.avatar.ops.test_stretch import LEARNED as LEARNED_STRETCHED
from tests.avatar.ops.test_stretch import bound_and_gradients, soup, stretched
from tests.support.double import load_double

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("double_kernels")]

EXACT = 1e-9  # both in double, sums in a different order
NAMES = (
    "add_reflections",
    "bind",
    "blend",
    "deform",
    "layer",
    "photometric",
    "principal_strains",
    "rotate_sh",
    "splat",
    "ssim",
    "texel_colors",
    "vertex_stretch",
)
SPECIFICATION = {name: getattr(reference, name) for name in NAMES}


@pytest.fixture
def double_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes float64 tensors of `avatar.ops` to the kernels in double; falling back to the reference is an error."""
    double = load_double()

    def native_for(tensor: Tensor) -> object:
        return double if tensor.dtype == torch.float64 and tensor.device.type == "cpu" else None

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the operation went to the reference, not to the native kernel")

    for name, module in list(sys.modules.items()):
        if name.startswith("avatar.ops.") and hasattr(module, "native_for"):
            monkeypatch.setattr(module, "native_for", native_for)
    for name in NAMES:
        monkeypatch.setattr(reference, name, refuse)


def leaves_of(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.double().clone().requires_grad_() for value in inputs)


@pytest.mark.parametrize("antialias", [False, True], ids=["dilated", "antialiased"])
@pytest.mark.parametrize("terms", [0, 1, 4, 9, 16])
def test_splat_gradients_match_finite_differences(terms: int, antialias: bool) -> None:
    view = camera(1, 9, 7, focal=15.0)
    inputs = sh_scene(1, 5, terms, 3, torch.float64) if terms else scene(1, 5, 3, torch.float64)

    def rendered(*values: Tensor) -> tuple[Tensor, ...]:
        out = ops.splat(*values, view, antialias=antialias, cutoff=False)
        return out.rgb, out.alpha, out.depth

    assert torch.autograd.gradcheck(rendered, leaves_of(inputs), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("inputs", [scene(2, 60), sh_scene(2, 60)], ids=["plain", "harmonics"])
def test_splat_in_double_equals_its_specification(inputs: Inputs, options: dict[str, object]) -> None:
    doubles = leaves_of(inputs)
    found, gradients = splat_and_gradients(ops.splat, doubles, camera(2), **options)  # type: ignore[arg-type]
    expected, true_gradients = splat_and_gradients(SPECIFICATION["splat"], doubles, camera(2), **options)  # type: ignore[arg-type]
    for name in IMAGES:
        assert largest(getattr(found, name), getattr(expected, name)) < EXACT
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < EXACT


def test_bind_gradients_match_finite_differences() -> None:
    values = list(rigged(count=6, vertices=9))

    def bound(*learned: Tensor) -> tuple[Tensor, ...]:
        given = list(values)
        for k, value in zip(LEARNED, learned, strict=True):
            given[k] = value
        return flat_bind(*given)

    assert torch.autograd.gradcheck(bound, leaves_of(tuple(values[k] for k in LEARNED)))


def test_bind_in_double_equals_its_specification() -> None:
    found = bind_and_gradients(ops.bind, torch.float64)
    expected = bind_and_gradients(SPECIFICATION["bind"], torch.float64)
    for value, true_value in zip(found, expected, strict=True):
        assert largest(value, true_value) < EXACT


def test_stretched_bind_gradients_match_finite_differences() -> None:
    values = stretched(6)

    def bound(*learned: Tensor) -> tuple[Tensor, ...]:
        given = list(values)
        for k, value in zip(LEARNED_STRETCHED, learned, strict=True):
            given[k] = value
        return flat_bind(*given)

    assert torch.autograd.gradcheck(bound, leaves_of(tuple(values[k] for k in LEARNED_STRETCHED)), fast_mode=True)


def test_stretched_bind_in_double_equals_its_specification() -> None:
    found = bound_and_gradients(stretched(), torch.float64)
    expected = bound_and_gradients(stretched(), torch.float64, SPECIFICATION["bind"])
    for value, true_value in zip(found, expected, strict=True):
        assert largest(value, true_value) < EXACT


def test_vertex_stretch_in_double_equals_its_specification_and_matches_finite_differences() -> None:
    vertices, mesh = soup()
    assert largest(ops.vertex_stretch(vertices, mesh), SPECIFICATION["vertex_stretch"](vertices, mesh)) < EXACT
    leaf = vertices[:1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: ops.vertex_stretch(given, mesh), (leaf,), fast_mode=True)


def test_principal_strains_in_double_equal_their_specification_and_match_finite_differences() -> None:
    tensors, *rest = points(60)
    assert largest(ops.principal_strains(tensors, *rest), SPECIFICATION["principal_strains"](tensors, *rest)) < EXACT
    leaf = tensors.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: ops.principal_strains(given, *rest), (leaf,), fast_mode=True)


def test_ssim_gradients_match_finite_differences() -> None:
    first, second = image_pair(8, 7)
    assert torch.autograd.gradcheck(lambda a: ops.ssim(a, second), leaves_of((first,)))


def test_ssim_in_double_equals_its_specification() -> None:
    first, second = image_pair(33, 29)
    (leaf,) = leaves_of((first,))
    found, expected = ops.ssim(leaf, second), SPECIFICATION["ssim"](leaf, second)
    assert largest(found, expected) < EXACT
    by_native, by_reference = (torch.autograd.grad(value.sum(), leaf)[0] for value in (found, expected))
    assert largest(by_native, by_reference) < EXACT


def test_blend_gradients_match_finite_differences() -> None:
    given = random(5, 4), random(3, 5, 4, seed=1), random(2, 3, seed=2)
    assert torch.autograd.gradcheck(ops.blend, leaves_of(given))


def test_blend_in_double_equals_its_specification() -> None:
    given = random(50, 11), random(7, 50, 11, seed=1), random(3, 7, seed=2)
    assert largest(ops.blend(*given), SPECIFICATION["blend"](*given)) < EXACT


def local_gaussians(count: int, moved: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """The differentiable arguments of deform, and the units."""
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 3), (2, moved, 11))
    return tuple(random(*shape, seed=k) - 0.5 for k, shape in enumerate(shapes)), 0.1 + random(11, seed=9)


def test_deform_gradients_match_finite_differences() -> None:
    learned, units = local_gaussians(6, 4)
    assert torch.autograd.gradcheck(lambda *values: flat_deform(*values, units), leaves_of(learned))


def test_deform_in_double_equals_its_specification() -> None:
    learned, units = local_gaussians(50, 33)
    expected = flat_deform(*learned, units, function=SPECIFICATION["deform"])
    for found, true_value in zip(flat_deform(*learned, units), expected, strict=True):
        assert largest(found, true_value) < EXACT


def compared_images(height: int, width: int) -> tuple[Tensor, ...]:
    """Arguments of photometric up to the weights."""
    truth, matte = ((255 * random(2, height, width, *tail, seed=3)).byte() for tail in ((3,), ()))
    alpha = random(2, height, width, seed=1)
    return alpha[..., None] * random(2, height, width, 3), alpha, truth, matte, random(2, 3, seed=2)


@pytest.mark.parametrize(("ssim_weight", "rows"), [(0.0, (1, 0)), (0.2, (1, 0)), (0.2, (2, 1)), (0.2, (3, 0))])
def test_photometric_gradients_match_finite_differences(ssim_weight: float, rows: tuple[int, int]) -> None:
    rgb, alpha, *fixed = compared_images(8, 7)
    learned = leaves_of((rgb, alpha))
    assert torch.autograd.gradcheck(
        lambda *values: ops.photometric(*values, *fixed, ssim_weight, 0.3, rows)[0], learned
    )


@pytest.mark.parametrize("rows", [(1, 0), (2, 0), (2, 1), (3, 2)])
def test_photometric_in_double_equals_its_specification(rows: tuple[int, int]) -> None:
    rgb, alpha, *fixed = compared_images(33, 29)
    results = []
    for call in (ops.photometric, SPECIFICATION["photometric"]):
        learned = leaves_of((rgb, alpha))
        loss, squares = call(*learned, *fixed, 0.2, 0.3, rows)
        results.append((loss.detach(), squares, *torch.autograd.grad(loss.sum(), learned)))
    found, expected = results
    for value, true_value in zip(found, expected, strict=True):
        assert largest(value, true_value) < EXACT


@pytest.mark.parametrize("terms", [1, 4, 9, 16])
def test_rotate_sh_gradients_match_finite_differences(terms: int) -> None:
    given = random(1, 5, terms, 3) - 0.5, random(1, 5, 4, seed=1) - 0.5
    assert torch.autograd.gradcheck(ops.rotate_sh, leaves_of(given))


def test_rotate_sh_in_double_equals_its_specification() -> None:
    given = random(2, 30, 16, 3) - 0.5, random(2, 30, 4, seed=1) - 0.5
    assert largest(ops.rotate_sh(*given), SPECIFICATION["rotate_sh"](*given)) < EXACT


def test_layer_gradients_match_finite_differences_and_its_images_the_specification() -> None:
    vertices, shade, texels, mesh = layer_scene(1, torch.float64)
    K = intrinsics(1, torch.float64)

    def color(values: Tensor) -> Tensor:
        return ops.layer(vertices, shade, values, mesh, K, WIDTH, HEIGHT, blur=0.01).color

    assert torch.autograd.gradcheck(color, texels.requires_grad_(), eps=1e-6, atol=1e-8, fast_mode=True)
    found = whole_image(ops.layer(vertices, shade, texels, mesh, K, WIDTH, HEIGHT, blur=0.01), WIDTH, HEIGHT)
    expected = SPECIFICATION["layer"](vertices, shade, texels, mesh, K, WIDTH, HEIGHT, blur=0.01)
    for name in ("color", "coverage", "stencil"):
        assert largest(getattr(found, name), getattr(expected, name)) < EXACT
    assert largest(found.depth, expected.depth) < 1e-6  # the z-buffer is float


def test_texel_colors_have_the_gradients_of_finite_differences() -> None:
    start, factors, own = (random(rows, 3).double().requires_grad_() for rows in (40, 5, 40))
    part = torch.arange(40) % 4
    assert torch.autograd.gradcheck(lambda *learned: ops.texel_colors(start.detach(), part, *learned), (factors, own))
    expected = SPECIFICATION["texel_colors"](start, part, factors, own)
    assert largest(ops.texel_colors(start, part, factors, own), expected) < EXACT


def test_reflections_have_the_gradients_of_finite_differences() -> None:
    color, coverage, textures = random(2, 9, 12, 3), random(2, 9, 12, seed=1), random(2, 5, 5, seed=2)
    centers = torch.tensor([[[4.0, 5.1], [9.0, 2.0]]] * 2, dtype=torch.float64)
    radii = torch.tensor([[2.3, 3.1]] * 2, dtype=torch.float64)

    def added(start: Tensor, values: Tensor) -> Tensor:
        return ops.add_reflections(start * 1, coverage, values, centers, radii)

    assert torch.autograd.gradcheck(added, (color.requires_grad_(), textures.requires_grad_()))
    expected = SPECIFICATION["add_reflections"](color, coverage, textures, centers, radii)
    assert largest(added(color, textures), expected) < EXACT


def test_splat_with_a_layer_has_the_gradients_of_finite_differences() -> None:
    images = ops.layer(*layer_scene(1, torch.float64), intrinsics(1, torch.float64), WIDTH, HEIGHT)
    view = Camera(intrinsics(1), camera(1).world_to_cam, WIDTH, HEIGHT)
    fades = torch.tensor([[1.0, 0.0, 0.5, 1.0, 1.0]], dtype=torch.float64)

    covered = (images.coverage > 0)[..., None]  # a layer has no color elsewhere

    def rendered(*values: Tensor) -> tuple[Tensor, ...]:
        layer = ops.SplatLayer(replace(images, color=values[5] * covered), fades)
        out = ops.splat(*values[:5], view, cutoff=False, layer=layer)
        return out.rgb, out.alpha, out.depth

    leaves = (*leaves_of(scene(1, 5, 3, torch.float64)), images.color.detach().requires_grad_())
    assert torch.autograd.gradcheck(rendered, leaves, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)
