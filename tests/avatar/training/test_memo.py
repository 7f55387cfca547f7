"""A result is computed again exactly when a tensor that it depends on changes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from avatar.training.memo import Memo


def counted() -> tuple[Callable[..., Tensor], list[int]]:
    """The sum of tensors through a memo, and a list that grows with each computation."""
    memo: Memo[Tensor] = Memo()
    computed: list[int] = []

    def total(*tensors: Tensor) -> Tensor:
        def compute() -> Tensor:
            computed.append(len(tensors))
            return torch.stack([tensor.sum() for tensor in tensors]).sum()

        return memo(compute, *tensors)

    return total, computed


def test_equal_tensors_give_the_stored_result() -> None:
    total, computed = counted()
    one, two = torch.ones(3), torch.ones(2)
    assert total(one, two) is total(one, two)
    assert len(computed) == 1


def test_a_tensor_that_is_changed_in_place_gives_a_new_result() -> None:
    total, computed = counted()
    one, two = torch.ones(3), torch.ones(2)
    assert float(total(one, two)) == 5
    for change in (lambda: two.fill_(2), lambda: two.__setitem__(0, 3), lambda: two.copy_(torch.zeros(2))):
        change()
        assert float(total(one, two)) == float(one.sum() + two.sum())
    assert len(computed) == 4


def test_a_change_through_a_view_or_a_detached_tensor_gives_a_new_result() -> None:
    total, _ = counted()
    one = torch.ones(3)
    assert float(total(one)) == 3
    one.detach()[1:] = 5
    assert float(total(one)) == 11


def test_another_tensor_gives_a_new_result() -> None:
    total, computed = counted()
    one = torch.ones(3)
    total(one)
    assert float(total(one.clone())) == 3 and float(total(one, one)) == 6
    assert len(computed) == 3
