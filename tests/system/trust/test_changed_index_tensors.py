"""Indices are checked in the kernel that reads them, so index tensors that change after a call are still refused.

The CUDA kernels: tests/cuda_ext/test_cuda_indices.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from avatar import ops
from tests.avatar.ops.flat import flat_bind

VERTICES, COUNT, SIZE = 40, 1500, 16  # more Gaussians than one task of the kernel has
#: Below, at and far beyond the ends of the range.
BAD = (VERTICES, -1, -(2**63), 2**40)


def through_numpy(indices: Tensor, at: int, value: int) -> None:
    """Write through NumPy: PyTorch does not count this as a change."""
    indices.numpy()[at, 1] = value


def through_data(indices: Tensor, at: int, value: int) -> None:
    """Exchange the memory of the tensor, which keeps its version."""
    changed = indices.clone()
    changed[at, 1] = value
    indices.data = changed


CHANGES = (through_numpy, through_data)
Change = Callable[[Tensor, int, int], None]


def bind_inputs(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Arguments of `flat_bind` for two images."""
    random = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=dtype)

    triangles = torch.randint(0, VERTICES, (COUNT, 3), generator=random)
    bones = torch.nn.functional.normalize(normal(2, 2, 4), dim=-1)
    third, half = torch.full((COUNT, 3), 1 / 3, dtype=dtype), torch.full((COUNT,), 0.5, dtype=dtype)
    return [normal(2, VERTICES, 3), triangles, third, normal(2, COUNT, 3), normal(2, COUNT, 4), half, bones,
            normal(2, 2, 3)]  # fmt: skip


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bind_refuses_triangles_that_changed(dtype: torch.dtype, change: Change, value: int) -> None:
    inputs = bind_inputs(dtype)
    flat_bind(*inputs)
    change(inputs[1], COUNT - 1, value)
    with pytest.raises(ValueError, match=rf"triangles: expected indices in 0\.\.{VERTICES - 1}, got .*{value}"):
        flat_bind(*inputs)


@pytest.mark.parametrize("value", BAD)
def test_the_gradient_of_bind_refuses_triangles_that_changed_since_the_forward_pass(value: int) -> None:
    inputs = bind_inputs()
    inputs[0].requires_grad_()
    means, _ = flat_bind(*inputs)
    inputs[1].numpy()[3, 2] = value
    with pytest.raises(ValueError, match=rf"triangles: expected indices in 0\.\.{VERTICES - 1}"):
        means.sum().backward()


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("change", CHANGES)
def test_mesh_refuses_faces_that_changed(change: Change, value: int) -> None:
    vertices = torch.rand(1, VERTICES, 3, generator=torch.Generator().manual_seed(2)) + torch.tensor([0.0, 0.0, 1.0])
    faces = torch.arange(VERTICES - 1)[:, None] + torch.tensor([0, 1, 0])
    K = torch.tensor([[[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]])
    ops.mesh(vertices, faces, K, SIZE, SIZE)
    change(faces, 20, value)
    with pytest.raises(ValueError, match=rf"faces: expected indices in 0\.\.{VERTICES - 1}, got .*{value}"):
        ops.mesh(vertices, faces, K, SIZE, SIZE)


def test_a_mesh_without_vertices_has_no_valid_triangle() -> None:
    inputs = bind_inputs()
    inputs[0] = inputs[0][:, :0]
    with pytest.raises(ValueError, match="triangles: expected indices"):
        flat_bind(*inputs)
