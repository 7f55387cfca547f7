"""`avatar.offline.in_order`: the caller's view of work done by several threads."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest
import torch

import cuda_ext
from avatar import ops
from avatar.offline.in_order import in_order


def slow_first(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)
    return number * 10


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(in_order(lambda: slow_first, range(20), threads)) == list(range(0, 200, 10))


def test_each_worker_stays_in_the_thread_that_made_it() -> None:
    def make() -> Callable[[int], bool]:
        home = threading.get_ident()
        return lambda _: threading.get_ident() == home

    assert all(in_order(make, range(40), 3))


def test_no_more_than_two_items_a_thread_are_begun_ahead() -> None:
    asked = []
    endless = (asked.append(number) or number for number in itertools.count())
    results = in_order(lambda: slow_first, endless, 2)
    assert [next(results) for _ in range(3)] == [0, 10, 20]
    results.close()
    assert len(asked) <= 3 + 4


def test_what_a_worker_raises_reaches_the_caller_in_its_turn() -> None:
    def refuse_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = in_order(lambda: refuse_three, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_threads_of_pytorch_and_kernels_are_put_back_however_it_ends() -> None:
    before = torch.get_num_threads(), ops.kernel_threads()
    first, second = (in_order(lambda: slow_first, range(20), 2) for _ in range(2))
    next(first), next(second)
    assert (torch.get_num_threads(), ops.kernel_threads()) == (1, 1)
    first.close()
    assert ops.kernel_threads() == 1, "the second is still at work"
    second.close()
    assert (torch.get_num_threads(), ops.kernel_threads()) == before


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_the_threads_of_kernels_are_the_native_modules() -> None:
    assert ops.kernel_threads() == cuda_ext.native().threads()
