"""Parallel map with results in the order of the items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from avatar import ops

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    make: Callable[[], Callable[[Item], Result]], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Apply a function to items in several threads and yield the results in the order of the items.

    One frame for each thread uses all cores. With one frame at a time the threads of the kernels would wait for each
    other several times per frame, and for the Python code between the kernels. While the iterator runs, the kernels use
    one thread for each call, and so does PyTorch in the workers and in the caller's thread.

    Args:
        make: makes the function; called once in each thread, and its result is used in that thread only.
        items: at most two for each thread are started before the first result is consumed.
        threads: number of threads; with 1 everything runs in the caller's thread, and a call may use all threads of the
            kernels.
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

    started: deque[Future[Result]] = deque()
    with ops.one_thread_each():
        # A new thread starts with the number of PyTorch threads that any thread set last.
        pool = ThreadPoolExecutor(threads, "rendering", torch.set_num_threads, (1,))
        try:
            for item in items:
                started.append(pool.submit(work, item))
                if len(started) == 2 * threads:
                    yield started.popleft().result()
            while started:
                yield started.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
