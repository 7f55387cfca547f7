"""Sums of images by state: the same on every device, without the order of atomic additions."""

from __future__ import annotations

import pytest
import torch

from avatar.refine.states import add_by_row
from tests.support.pretended import GPU, Device


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_sums_are_those_of_index_add(gpu: Device, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(7, *shape, generator=generator, dtype=torch.float64)
    start = torch.randn(4, *shape, generator=generator, dtype=torch.float64)
    rows = torch.tensor([0, 2, 2, 0, 3, 2, 0])
    expected = start.clone().index_add_(0, rows, values)
    assert torch.equal(add_by_row(start.clone(), rows, values), expected)
    found = start.to(GPU)
    assert add_by_row(found, rows.to(GPU), values.to(GPU)) is found
    torch.testing.assert_close(found.cpu(), expected)
