"""The CUDA kernels read no vertex out of bounds: an index out of range gives NaN, or nothing, without an error."""

from __future__ import annotations

import pytest
import torch

from avatar.ops.kernels import CudaKernels
from tests.avatar.ops.test_strain import points, single
from tests.support.emulated import CannotBuild, load_emulated
from tests.system.trust.test_changed_index_tensors import BAD, COUNT, SIZE, bind_inputs


@pytest.fixture
def emulated() -> CudaKernels:
    """The CUDA kernels in the emulator, without the checks of `avatar.ops`."""
    try:
        return CudaKernels(load_emulated(), 0)
    except CannotBuild as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("value", BAD)
def test_the_cuda_kernels_give_nan_where_an_index_is_out_of_range(emulated: CudaKernels, value: int) -> None:
    """They cannot raise without waiting for the device: the one Gaussian is NaN, the others do not change."""
    inputs = tuple(bind_inputs())
    good, quats = torch.empty_like(inputs[3]), torch.empty_like(inputs[4])
    emulated.bind(inputs, None, good, quats, None)
    inputs[1].numpy()[7, 0] = value
    means, grads = torch.empty_like(good), [torch.empty_like(inputs[k]) for k in (0, 3, 4, 6, 7)]
    emulated.bind(inputs, None, means, quats, None)
    assert means[:, 7].isnan().all()
    others = torch.arange(COUNT) != 7
    assert torch.equal(means[:, others], good[:, others])
    emulated.bind_backward(inputs, None, (torch.ones_like(means), None, None), (*grads, None, None))
    assert grads[0].isfinite().any()


@pytest.mark.parametrize("value", BAD)
def test_the_cuda_kernel_leaves_out_a_face_with_an_index_out_of_range(emulated: CudaKernels, value: int) -> None:
    vertices = torch.tensor([[[-1.0, -1, 2], [1, -1, 2], [0, 1, 2]]])
    K = torch.tensor([[[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]])
    for corner, seen in ((2, True), (value, False)):
        faces = torch.tensor([[0, 1, corner]])
        face_id = torch.empty(1, SIZE, SIZE, dtype=torch.int32)
        bary, depth = torch.empty(1, SIZE, SIZE, 3), torch.empty(1, SIZE, SIZE)
        emulated.mesh(vertices, faces, K, SIZE, SIZE, 0.01, face_id, bary, depth)
        assert bool((face_id >= 0).any()) == seen


@pytest.mark.parametrize("value", BAD)
def test_the_strain_at_a_point_with_an_index_out_of_range_is_nan_and_has_no_gradient(
    emulated: CudaKernels, value: int
) -> None:
    inputs = tuple(single(points(COUNT)))
    tensors, _, triangles, _ = inputs
    good, found, grad = torch.empty(2, COUNT, 2), torch.empty(2, COUNT, 2), torch.empty_like(tensors)
    emulated.principal_strains(inputs, good)
    triangles.numpy()[7, 0] = value
    emulated.principal_strains(inputs, found)
    assert found[:, 7].isnan().all()
    others = torch.arange(COUNT) != 7
    assert torch.equal(found[:, others], good[:, others])
    emulated.principal_strains_backward(inputs, torch.ones_like(found), grad)
    assert grad.isfinite().all()
