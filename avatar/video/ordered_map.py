"""The same work on many items at a time, its results in the order of the items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from avatar import ops

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(make: Callable[[], Callable[[Item], Result]], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield what a worker makes of each of `items`, in their order.

    Whole frames a thread keep all cores busy, where the kernels' own threads wait for each other several times a frame
    and for what Python does between the kernels. While this runs, the kernels use one thread a call, and PyTorch does
    in the workers and in the caller's thread.

    Args:
        make: makes a worker; called once in each thread, and what it gives is used in no other.
        items: at most two a thread are begun before the first of them is taken.
        threads: how many; with 1 all is done in the caller's thread, with as many threads a call as there are.
    """
    if threads <= 1:
        yield from map(make(), items)
        return
    local = threading.local()

    def work(item: Item) -> Result:
        if not hasattr(local, "worker"):
            local.worker = make()
        result: Result = local.worker(item)
        return result

    begun: deque[Future[Result]] = deque()
    with ops.one_thread_each():
        # A new thread begins with the number of threads that any thread gave PyTorch last.
        pool = ThreadPoolExecutor(threads, "drawing", torch.set_num_threads, (1,))
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) == 2 * threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
