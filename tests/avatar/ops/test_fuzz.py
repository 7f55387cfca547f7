"""Random small inputs with poisoned numbers: nothing crashes, and what a poisoned number does not feed stays as it was.

HEADSPLAT_FUZZ=2000 looks at that many fresh examples of each kind; left out, the same few are tried every time.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import cuda_ext
from avatar import ops
from avatar.types import Camera
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.splat_scenes import IMAGES, camera, scene, splat_and_gradients

FRESH = os.environ.get("HEADSPLAT_FUZZ")
fuzzed = settings(
    max_examples=int(FRESH or 100),
    derandomize=FRESH is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))

TINY = (1e-45, -1e-45, 1e-40, 1e-20)
BROKEN = (math.nan, math.inf, -math.inf)
POISON = (*BROKEN, *TINY, 0.0, -0.0, -1.0, 2.0, 1e15, -1e15)
HUGE = (1e30, -1e30)
EXTREME = (*POISON, *HUGE)
#: Products with these leave float32, so gradients of colors and depths like these are infinite in truth too.
LARGEST = (3.4e38, -3.4e38)
ANYTHING = (*EXTREME, *LARGEST)


def levels() -> list[str]:
    """The SIMD levels this processor has."""
    if not cuda_ext.available("cpu"):
        return ["none"]
    before, found = cuda_ext.simd_level(), []
    for name in ("v4", "v3", "v2", "neon", "portable"):
        try:
            cuda_ext.set_simd_level(name)
            found.append(name)
        except ValueError:
            continue
    cuda_ext.set_simd_level(before)
    return found


@dataclass(frozen=True)
class Dose:
    """One poisoned number: which tensor, where (a fraction of its elements), what; or a whole row of it."""

    field: int
    where: float
    value: float
    whole_row: bool


def doses(fields: int, values: tuple[float, ...] = POISON) -> st.SearchStrategy[list[Dose]]:
    where = st.floats(0, 1, exclude_max=True)
    one = st.builds(Dose, st.integers(0, fields - 1), where, st.sampled_from(values), st.booleans())
    return st.lists(one, min_size=1, max_size=6)


def poison(tensors: list[Tensor], given_doses: list[Dose]) -> list[Tensor]:
    """Poisoned copies; rows are those of the last axis."""
    out = [tensor.clone() for tensor in tensors]
    for dose in given_doses:
        tensor = out[dose.field]
        if not tensor.numel():
            continue
        rows = tensor.view(-1, tensor.shape[-1])
        spot = int(dose.where * tensor.numel())
        target = rows[spot // rows.shape[1]]
        target[slice(None) if dose.whole_row else spot % rows.shape[1]] = dose.value
    return out


@dataclass(frozen=True)
class Setting:
    """Everything of a call of `splat` that is not poisoned."""

    level: str
    batch: int
    count: int
    width: int
    height: int
    focal: float
    seed: int
    near: float
    dilation: float
    antialias: bool
    cutoff: bool

    def view(self) -> Camera:
        return camera(self.batch, self.width, self.height, self.focal)

    def options(self) -> dict[str, object]:
        names = ("near", "dilation", "antialias", "cutoff")
        return {"with_weights": True, **{name: getattr(self, name) for name in names}}


splat_settings = st.builds(
    Setting,
    level=st.sampled_from(levels()),
    batch=st.integers(1, 3),
    count=st.integers(0, 33),
    width=st.integers(1, 49),
    height=st.integers(1, 49),
    focal=st.sampled_from((40.0, 1e-3, 1e6)),
    seed=st.integers(0, 1000),
    near=st.sampled_from((0.01, 0.5, 0.0)),
    dilation=st.sampled_from((0.3, 0.0, 0.05)),
    antialias=st.booleans(),
    cutoff=st.booleans(),
)


@fuzzed
@given(splat_settings, doses(5, ANYTHING))
def test_splat_gives_finite_images_of_anything(setting: Setting, given_doses: list[Dose]) -> None:
    cuda_ext.set_simd_level(setting.level)
    inputs = poison(list(scene(setting.batch, setting.count, setting.seed)), given_doses)
    out = ops.splat(*inputs, setting.view(), **setting.options())  # type: ignore[arg-type]
    for name in (*IMAGES, "weights"):
        assert getattr(out, name).isfinite().all(), name
    assert (out.alpha >= 0).all() and (out.alpha <= 1).all()


@fuzzed
@given(splat_settings, st.sampled_from((1, 4, 9, 16)), doses(5, ANYTHING))
def test_splat_gives_finite_images_of_any_spherical_harmonics(
    setting: Setting, terms: int, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(setting.level)
    *inputs, colors = scene(setting.batch, setting.count, setting.seed)
    sh = colors[:, :, None].repeat(1, 1, terms, 1)
    out = ops.splat(*poison([*inputs, sh], given_doses), setting.view(), **setting.options())  # type: ignore[arg-type]
    for name in (*IMAGES, "weights"):
        assert getattr(out, name).isfinite().all(), name


@fuzzed
@given(splat_settings, doses(4, EXTREME), doses(1))
def test_splat_gives_finite_gradients_of_anything_but_the_largest_colors_and_depths(
    setting: Setting, given_doses: list[Dose], on_colors: list[Dose]
) -> None:
    # Without dilation, a Gaussian at such a depth covers 1e-11 pixels: the square of its conic leaves float32.
    assume(
        setting.dilation > 0 or not any(dose.field == 0 and 1e15 <= abs(dose.value) < math.inf for dose in given_doses)
    )
    cuda_ext.set_simd_level(setting.level)
    *inputs, colors = scene(setting.batch, setting.count, setting.seed)
    poisoned = (*poison(inputs, given_doses), *poison([colors], on_colors))
    _, gradients = splat_and_gradients(ops.splat, poisoned, setting.view(), **setting.options())
    assert all(gradient.isfinite().all() for gradient in gradients)


LEARNED = (0, 3, 4, 6, 7)  # vertices, offsets, quats, rotations, translations


def binding(batch: int, count: int, seed: int) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=source)

    triangles = torch.stack([torch.randperm(12, generator=source)[:3] for _ in range(count)])
    return [
        draw(batch, 12, 3), triangles.long(), draw(count, 3), draw(batch, count, 3), draw(batch, count, 4) - 0.5,
        draw(count), torch.nn.functional.normalize(draw(batch, 2, 4), dim=-1), draw(batch, 2, 3),
    ]  # fmt: skip


def bound(values: list[Tensor]) -> tuple[Tensor, ...]:
    """Means and quaternions of bind, and the gradients of its learned arguments."""
    leaves = [value.clone().requires_grad_(k in LEARNED) for k, value in enumerate(values)]
    means, quats = flat_bind(*leaves)
    gradients = torch.autograd.grad(means.sum() + quats[..., 1].sum(), [leaves[k] for k in LEARNED])
    return means.detach(), quats.detach(), *gradients


@fuzzed
@given(st.sampled_from(levels()), st.integers(1, 3), st.integers(1, 33), st.integers(0, 1000), doses(2, EXTREME))
def test_bind_keeps_poison_within_its_gaussian(
    level: str, batch: int, count: int, seed: int, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    clean = binding(batch, count, seed)
    poisoned = list(clean)
    poisoned[3], poisoned[4] = poison([clean[3], clean[4]], given_doses)
    same = ((poisoned[3] == clean[3]).all(-1)) & ((poisoned[4] == clean[4]).all(-1))
    expected, found = bound(clean), bound(poisoned)
    for k in (0, 1, 3, 4):  # means, quats and the gradients of offsets and quats; the others sum over Gaussians
        assert torch.equal(found[k][same], expected[k][same])


@fuzzed
@given(st.sampled_from(levels()), st.integers(1, 3), st.integers(1, 33), st.integers(0, 1000), doses(8))
def test_bind_survives_poison_anywhere(level: str, batch: int, count: int, seed: int, given_doses: list[Dose]) -> None:
    cuda_ext.set_simd_level(level)
    clean = binding(batch, count, seed)
    floats = [k for k, value in enumerate(clean) if value.is_floating_point()]
    poisoned = list(clean)
    doses_of_floats = [dose for dose in given_doses if dose.field < len(floats)]
    for k, value in zip(floats, poison([clean[k] for k in floats], doses_of_floats), strict=True):
        poisoned[k] = value
    assert [tuple(value.shape) for value in bound(poisoned)] == [tuple(value.shape) for value in bound(clean)]


@fuzzed
@given(
    st.sampled_from(levels()),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 1000),
    doses(2, ANYTHING),
)
def test_ssim_keeps_poison_within_its_image(
    level: str, height: int, width: int, seed: int, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    source = torch.Generator().manual_seed(seed)
    pair = [torch.rand(2, height, width, 3, generator=source) for _ in range(2)]
    poisoned = [torch.cat([part[:1], bad[1:]]) for part, bad in zip(pair, poison(pair, given_doses), strict=True)]
    results = []
    for first, second in (pair, poisoned):
        leaf = first.clone().requires_grad_()
        value = ops.ssim(leaf, second)
        results.append((value[0].detach(), torch.autograd.grad(value.sum(), leaf)[0][0]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@fuzzed
@given(
    st.integers(1, 2), st.integers(0, 20), st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000),
    doses(1, ANYTHING), st.sampled_from((40.0, 0.0, math.nan, math.inf, 1e-30, 1e30)),
)  # fmt: skip
def test_mesh_gives_finite_images_of_anything(
    batch: int, faces: int, width: int, height: int, seed: int, given_doses: list[Dose], focal: float
) -> None:
    source = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, 15, 3, generator=source) * torch.tensor([1.5, 1.5, 2.4]) - torch.tensor([0.7, 0.7, 0.2])
    triangles = torch.randint(0, 15, (faces, 3), generator=source)  # some name a vertex twice
    K = torch.tensor([[focal, 0.0, width / 2], [0.0, 40.0, height / 2], [0.0, 0.0, 1.0]]).repeat(batch, 1, 1)
    face, bary, depth = ops.mesh(poison([points], given_doses)[0], triangles, K, width, height)
    assert bary.isfinite().all() and depth.isfinite().all()
    assert (face >= -1).all() and (face < max(faces, 1)).all()
    assert (depth[face < 0] == 0).all() and (depth[face >= 0] > 0).all()


@fuzzed
@given(
    st.sampled_from(levels()),
    st.integers(1, 40),
    st.integers(1, 5),
    st.booleans(),
    doses(4, ANYTHING),
)
def test_adam_keeps_poison_within_its_element(
    level: str, rows: int, columns: int, per_row: bool, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    source = torch.Generator().manual_seed(rows)
    clean = [torch.rand(rows, columns, generator=source) for _ in range(4)]
    poisoned = poison(clean, given_doses)
    same = torch.stack([a == b for a, b in zip(clean, poisoned, strict=True)]).all(0)
    rate = torch.rand(rows, generator=source) if per_row else 0.1
    for param, grad, m, v in (clean, poisoned):
        ops.adam_step(param, grad, m, v, rate, 0.9, 0.99, 1e-8, 3)
    for k in (0, 2, 3):
        assert torch.equal(clean[k][same], poisoned[k][same])


@fuzzed
@given(st.sampled_from(levels()), st.integers(1, 3), st.integers(1, 6), st.integers(1, 40), doses(3, EXTREME))
def test_blend_keeps_poison_within_its_channel_and_image(
    level: str, batch: int, bases: int, count: int, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    source = torch.Generator().manual_seed(count)
    shapes = ((count, 10), (bases, count, 10), (batch, bases))
    clean = [torch.rand(shape, generator=source) for shape in shapes]
    poisoned = poison(clean, given_doses)
    base, basis, weights = (a == b for a, b in zip(clean, poisoned, strict=True))
    same = base & basis.all(0) & weights.all(1)[:, None, None]
    leaves = [value.requires_grad_() for value in poisoned]
    found = ops.blend(*leaves)
    torch.autograd.grad(found.sum(), leaves)
    torch.testing.assert_close(found[same], ops.blend(*clean)[same])


@fuzzed
@given(
    st.sampled_from(levels()),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 1000),
    st.sampled_from([(1, 0), (2, 0), (2, 1), (3, 1)]),
    doses(3, ANYTHING),
)
def test_photometric_keeps_poison_within_its_image(
    level: str, height: int, width: int, seed: int, rows: tuple[int, int], given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    source = torch.Generator().manual_seed(seed)
    clean = [torch.rand(shape, generator=source) for shape in ((2, height, width, 3), (2, height, width), (2, 3))]
    truth, matte = (torch.randint(0, 256, (2, height, width, *rest), generator=source).byte() for rest in ((3,), ()))
    poisoned = [torch.cat([part[:1], bad[1:]]) for part, bad in zip(clean, poison(clean, given_doses), strict=True)]
    results = []
    for rgb, alpha, background in (clean, poisoned):
        leaves = rgb.clone().requires_grad_(), alpha.clone().requires_grad_()
        loss, mse = ops.photometric(*leaves, truth, matte, background, 0.2, 0.02, rows)
        gradients = torch.autograd.grad(loss.sum(), leaves)
        results.append((loss[0].detach(), mse[0], gradients[0][0], gradients[1][0]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@fuzzed
@given(
    st.sampled_from(levels()),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 40),
    st.booleans(),
    doses(5, ANYTHING),
)
def test_adam_outer_step_keeps_poison_within_its_rows(
    level: str, batch: int, bases: int, count: int, some_rows: bool, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    source = torch.Generator().manual_seed(count)
    touched = torch.rand(count, generator=source) < 0.5 if some_rows else None
    shape = (bases, count, 10)
    clean = [torch.rand(size, generator=source) for size in (shape, shape, shape, (batch, bases), (batch, count, 10))]
    poisoned = poison(clean, given_doses)
    param, m, v, weights, grad = (a == b for a, b in zip(clean, poisoned, strict=True))
    same = param & m & v & weights.all(0)[:, None, None] & grad.all(0)
    for values in (clean, poisoned):
        param, m, v, weights, grad = values
        ops.adam_outer_step(param, weights, grad, m, v, 0.1, 0.9, 0.99, 1e-8, 3, touched)
    for k in range(3):
        assert torch.equal(clean[k][same], poisoned[k][same])


@fuzzed
@given(st.integers(1, 3), st.integers(1, 33), st.sampled_from((1, 4, 9, 16)), doses(2, ANYTHING))
def test_rotating_spherical_harmonics_keeps_poison_within_its_gaussian(
    batch: int, count: int, terms: int, given_doses: list[Dose]
) -> None:
    source = torch.Generator().manual_seed(count)
    sh = torch.rand(batch, count, terms, 3, generator=source)
    quats = torch.nn.functional.normalize(torch.rand(batch, count, 4, generator=source) - 0.5, dim=-1)
    clean, results = [sh, quats], []
    poisoned = poison(clean, given_doses)
    same = (clean[0] == poisoned[0]).all((2, 3)) & (clean[1] == poisoned[1]).all(-1)
    for values in (clean, poisoned):
        leaves = [value.clone().requires_grad_() for value in values]
        turned = ops.rotate_sh(*leaves)
        results.append((turned.detach(), *torch.autograd.grad(turned.square().sum(), leaves, allow_unused=terms == 1)))
    for before, after in zip(*results, strict=True):
        assert before is None or torch.equal(before[same], after[same])
