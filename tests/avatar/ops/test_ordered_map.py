"""`avatar.ops.ordered_map`: order, exceptions and thread settings of a parallel map."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

import cuda_ext
from avatar import ops
from avatar.ops.ordered_map import ordered_map


@contextmanager
def threads_of_pytorch(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def slow_first(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)
    return number * 10


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_are_in_the_order_of_the_items(threads: int) -> None:
    assert list(ordered_map(lambda: slow_first, range(20), threads)) == list(range(0, 200, 10))


def test_each_worker_runs_in_the_thread_that_made_it() -> None:
    def make() -> Callable[[int], bool]:
        maker = threading.get_ident()
        return lambda _: threading.get_ident() == maker

    assert all(ordered_map(make, range(40), 3))


def test_at_most_two_items_per_thread_are_started_ahead() -> None:
    consumed = []
    endless = (consumed.append(number) or number for number in itertools.count())
    results = ordered_map(lambda: slow_first, endless, 2)
    assert [next(results) for _ in range(3)] == [0, 10, 20]
    results.close()
    assert len(consumed) <= 3 + 4


def test_an_exception_of_a_worker_is_raised_in_the_order_of_the_items() -> None:
    def refuse_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = ordered_map(lambda: refuse_three, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_threads_of_pytorch_and_kernels_are_restored_at_any_end() -> None:
    before = torch.get_num_threads(), ops.kernel_threads()
    first, second = (ordered_map(lambda: slow_first, range(20), 2) for _ in range(2))
    next(first), next(second)
    assert (torch.get_num_threads(), ops.kernel_threads()) == (1, 1)
    first.close()
    assert ops.kernel_threads() == 1, "the second is still running"
    second.close()
    assert (torch.get_num_threads(), ops.kernel_threads()) == before


def test_workers_run_pytorch_on_one_thread_even_if_another_thread_sets_more() -> None:
    def make() -> Callable[[int], int]:
        return lambda _: torch.get_num_threads()

    def items() -> Iterator[int]:
        set_elsewhere = threading.Thread(target=torch.set_num_threads, args=(2,))
        set_elsewhere.start()
        set_elsewhere.join()
        yield from range(8)

    with threads_of_pytorch(2):
        assert set(ordered_map(make, items(), 2)) == {1}
        assert torch.get_num_threads() == 2


def test_overlapping_blocks_of_two_threads_each_restore_pytorch() -> None:
    entered, main_left, seen = threading.Event(), threading.Event(), {}

    def other() -> None:
        torch.set_num_threads(3)
        with ops.one_thread_each():
            entered.set()
            main_left.wait(10)
            seen["inside"] = torch.get_num_threads(), ops.kernel_threads()
        seen["after"] = torch.get_num_threads()

    before = ops.kernel_threads()
    with threads_of_pytorch(2):
        thread = threading.Thread(target=other)
        with ops.one_thread_each():
            thread.start()
            assert entered.wait(10)
        assert torch.get_num_threads() == 2
        main_left.set()
        thread.join()
        assert torch.get_num_threads() == 2
    assert seen == {"inside": (1, 1), "after": 3}
    assert ops.kernel_threads() == before


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_the_number_of_kernel_threads_is_that_of_the_native_module() -> None:
    assert ops.kernel_threads() == cuda_ext.native().threads()
