"""`vertex_stretch` and `bind` with stretch on CUDA, in the emulator where there is no GPU: against the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.splat_scenes import largest
from tests.avatar.ops.test_small import ROUNDING, random
from tests.avatar.ops.test_stretch import LEARNED, cast, soup, stretched
from tests.cuda_ext.test_cuda_small import SLIVERS, assert_close, assert_same_bits, there


def mesh_there(device: torch.device) -> ops.StretchMesh:
    mesh = cast(soup()[1], torch.float32)
    return ops.StretchMesh(*(value.to(device) for value in mesh.tensors()))


def tensors_and_gradient(vertices: Tensor, mesh: ops.StretchMesh) -> tuple[Tensor, Tensor]:
    leaf = vertices.clone().requires_grad_()
    stretch = reference.vertex_stretch if leaf.dtype == torch.float64 else ops.vertex_stretch
    tensors = stretch(leaf, mesh)
    (grad,) = torch.autograd.grad((tensors * random(*tensors.shape, seed=3).to(tensors)).sum(), leaf)
    return tensors.detach(), grad


def bound_and_gradients(values: list[Tensor], learned: tuple[int, ...] = LEARNED) -> tuple[Tensor, ...]:
    values = list(values)
    for k in learned:
        values[k] = values[k].clone().requires_grad_()
    bind = reference.bind if values[0].dtype == torch.float64 else ops.bind
    out = flat_bind(*values, function=bind)
    pulls = (random(*value.shape, seed=20 + k) - 0.5 for k, value in enumerate(out))
    total = torch.stack([(value * pull.to(value)).sum() for value, pull in zip(out, pulls, strict=True)]).sum()
    return *(value.detach() for value in out), *torch.autograd.grad(total, [values[k] for k in learned])


def test_tensors_and_their_gradient_match_reference(device: torch.device) -> None:
    vertices, mesh = soup()
    found = tensors_and_gradient(vertices.float().to(device), mesh_there(device))
    assert_close(found, tensors_and_gradient(vertices, mesh), ROUNDING)


@pytest.mark.parametrize("count", [1, 127, 700])
def test_stretched_gaussians_and_all_gradients_match_reference(device: torch.device, count: int) -> None:
    values = stretched(count)
    assert_close(bound_and_gradients(there(device, *values)), bound_and_gradients(values), SLIVERS)


@pytest.mark.parametrize("without", [0, 9])
def test_a_gradient_that_is_not_wanted_changes_no_other(device: torch.device, without: int) -> None:
    values, learned = there(device, *stretched(200)), tuple(k for k in LEARNED if k != without)
    whole, some = bound_and_gradients(values), bound_and_gradients(values, learned)
    kept = [value for k, value in zip(LEARNED, whole[3:], strict=True) if k != without]
    assert all(torch.equal(one, other) for one, other in zip(some[3:], kept, strict=True))


def test_gradients_are_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    values, mesh = there(device, *stretched(300)), mesh_there(device)
    vertices = soup()[0].float().to(device)
    assert_same_bits(device, lambda: (*bound_and_gradients(values), *tensors_and_gradient(vertices, mesh)))


def test_a_flat_mesh_and_zero_quaternions_have_finite_results_and_gradients(device: torch.device) -> None:
    values = there(device, *stretched(40))
    values[0], values[4] = torch.zeros_like(values[0]).requires_grad_(), torch.zeros_like(values[4])
    values[9] = ops.vertex_stretch(values[0], mesh_there(device))
    out = flat_bind(*values)
    (grad,) = torch.autograd.grad(torch.cat([value.flatten() for value in out]).sum(), values[0])
    assert all(value.isfinite().all() for value in (*out, grad))


@pytest.mark.parametrize("value", [-1, 40, 2**40])
def test_an_index_out_of_range_is_left_out(device: torch.device, value: int) -> None:
    """A kernel cannot raise without waiting for the device; it reads nothing outside the arrays."""
    vertices, mesh = soup()[0].float().to(device), mesh_there(device)
    for indices in (mesh.faces, mesh.starts, mesh.corners, mesh.vertices, mesh.rows):
        kept = indices.flatten()[3].item()
        indices.flatten()[3] = value
        assert all(each.isfinite().all() for each in tensors_and_gradient(vertices, mesh))
        indices.flatten()[3] = kept
    values = there(device, *stretched(40))
    values[10] = values[10].clone()
    values[10][5] = value
    assert all(each.isfinite().all() for each in bound_and_gradients(values))


def test_a_gradient_that_is_not_finite_stays_in_its_rows(device: torch.device) -> None:
    values = there(device, *stretched(30))
    tensors, rows = values[9].requires_grad_(), values[10][values[1]]
    chosen = int((rows >= 0).all(1).nonzero()[0, 0])
    scales = flat_bind(*values)[2]
    grad_scales = torch.ones_like(scales)
    grad_scales[0, chosen] = float("nan")
    (grad,) = torch.autograd.grad(scales, tensors, grad_scales)
    affected = torch.zeros(tensors.shape[:2], dtype=torch.bool, device=device)
    affected[0, rows[chosen]] = True
    assert torch.equal(~grad.isfinite().all(-1), affected)
    assert largest(grad[1].cpu(), torch.zeros_like(grad[1].cpu())) > 0
