"""Two worker threads with their own networks, and decoding ahead of use."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import cv2

T = TypeVar("T")
WORKERS = 2
_MAKING = threading.Lock()


class PerThread(Generic[T]):
    """One instance per thread of something that must not be shared."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._local = threading.local()

    def get(self) -> T:
        """The instance of the calling thread."""
        if not hasattr(self._local, "value"):
            with _MAKING:  # the first maker may have to unpack files the others then find
                self._local.value = self._make()
        return self._local.value


class Pool:
    """A thread pool that never has more than `backlog` jobs waiting, so that frames do not pile up in memory.

    Meanwhile OpenCV starts no threads of its own: they would spin beside these, without a gain in time.
    """

    def __init__(self, backlog: int = 12) -> None:
        self._pool = ThreadPoolExecutor(max_workers=WORKERS)
        self._open: deque[Future[Any]] = deque()
        self._backlog = backlog
        self._opencv_threads = 0

    def __enter__(self) -> Pool:
        self._opencv_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(self._opencv_threads)

    def submit(self, job: Callable[..., T], *args: Any) -> Future[T]:
        """Start a job; waits for the oldest one first when too many are open, and raises what it raised."""
        while len(self._open) >= self._backlog:
            self._open.popleft().result()
        future = self._pool.submit(job, *args)
        self._open.append(future)
        return future

    def drain(self) -> None:
        """Wait for every job; raises the first failure."""
        while self._open:
            self._open.popleft().result()


def ahead(items: Iterable[T], depth: int = 6) -> Iterator[T]:
    """The same items, produced by a separate thread up to `depth` ahead."""
    slots: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                slots.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = slots.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
