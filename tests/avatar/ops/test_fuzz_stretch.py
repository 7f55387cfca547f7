"""`ops.vertex_stretch` and `ops.bind` with stretch: with extreme and non-finite numbers, as in `test_fuzz`."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cuda_ext
from avatar import ops
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.test_fuzz import EXTREME, LEARNED, Dose, binding, doses, fuzzed, levels, poison


def stretched_binding(batch: int, count: int, seed: int) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    rows = torch.arange(12) - 4  # the first four vertices do not stretch
    scales, tensors = (torch.rand(batch, rest, k, generator=source) for rest, k in ((count, 3), (8, 6)))
    return [*binding(batch, count, seed), scales, tensors - 0.5, torch.where(rows < 0, -1, rows)]


def bound_stretched(values: list[Tensor]) -> tuple[Tensor, ...]:
    leaves = [value.clone().requires_grad_(k in (*LEARNED, 8, 9)) for k, value in enumerate(values)]
    out = flat_bind(*leaves)
    total = out[0].sum() + out[1][..., 1].sum() + out[2].sum()
    return *(value.detach() for value in out), *torch.autograd.grad(total, [leaves[k] for k in (*LEARNED, 8, 9)])


@fuzzed
@given(st.sampled_from(levels()), st.integers(1, 3), st.integers(1, 33), st.integers(0, 1000), doses(3, EXTREME))
def test_stretched_bind_keeps_poison_within_its_gaussian(
    level: str, batch: int, count: int, seed: int, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    clean = stretched_binding(batch, count, seed)
    poisoned = list(clean)
    poisoned[3], poisoned[4], poisoned[8] = poison([clean[3], clean[4], clean[8]], given_doses)
    same = torch.stack([(poisoned[k] == clean[k]).all(-1) for k in (3, 4, 8)]).all(0)
    expected, found = bound_stretched(clean), bound_stretched(poisoned)
    for k in (0, 1, 2, 4, 5, 8):  # results and the gradients of offsets, quats and scales; the others are sums
        assert torch.equal(found[k][same], expected[k][same])


@fuzzed
@given(st.sampled_from(levels()), st.integers(1, 2), st.integers(1, 40), st.integers(0, 1000), doses(1))
def test_the_stretch_of_a_mesh_keeps_poison_within_the_triangles_around(
    level: str, batch: int, count: int, seed: int, given_doses: list[Dose]
) -> None:
    cuda_ext.set_simd_level(level)
    source = torch.Generator().manual_seed(seed)
    faces = torch.stack([torch.randperm(12, generator=source)[:3] for _ in range(count)])
    mesh = ops.stretch_mesh(torch.rand(12, 3, generator=source), faces, torch.rand(12, generator=source) < 0.7)
    clean = torch.rand(batch, 12, 3, generator=source)
    (poisoned,) = poison([clean], given_doses)
    wrong = (poisoned != clean).any(-1)  # [B,V]
    reached = torch.zeros_like(wrong).scatter_reduce(
        1, faces.flatten().expand(batch, -1), wrong[:, faces].any(2).repeat_interleave(3, 1), "amax"
    )
    found, expected = ops.vertex_stretch(poisoned, mesh), ops.vertex_stretch(clean, mesh)
    same = ~reached[:, mesh.vertices]
    assert torch.equal(found[same], expected[same])
