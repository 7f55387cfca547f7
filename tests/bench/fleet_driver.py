"""What a job costs the process that runs a fleet: the real runner, with empty jobs of Ray on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from avatar.fleet.jobs import Job, Needs, Outcome
from avatar.fleet.ray_cluster import RayCluster
from avatar.fleet.rows import Row, Steps
from avatar.fleet.runner import Lost, Runner
from avatar.fleet.store import Store

_REPETITIONS = 8
#: Seconds until machines that have just started are quiet.
_QUIET = 15.0


@dataclass
class Measured:
    """Seconds of the driver."""

    job: float  # for each job: the runner, the store, the submission, the outcome
    runner: float  # the part of `job` that is neither the submission nor the outcome
    submitted: float  # of each wait, for each submitted job
    machine: float  # of each question about all machines, for each machine


class TimedCluster(RayCluster):
    """Ray with empty jobs. Seconds in `submit` and `slots` count whole, those in `wait` as far as it computes."""

    def __init__(self, store: str, slots: int) -> None:
        super().__init__(store, "", cores=1)
        self._perform = self._ray.remote(max_retries=0)(_empty)
        self._slots = slots
        self.seconds = self.waiting = 0.0

    def slots(self, needs: Needs) -> int:
        """The chosen number, after the question to Ray."""
        start = time.perf_counter()
        super().slots(needs)
        self.seconds += time.perf_counter() - start
        return self._slots

    def submit(self, job: Job) -> None:
        """Give a job to Ray."""
        start = time.perf_counter()
        super().submit(job)
        self.seconds += time.perf_counter() - start

    def wait(self, seconds: float) -> list[Outcome | Lost]:
        """The jobs that have ended."""
        wall, computed = time.perf_counter(), time.thread_time()
        ended = super().wait(seconds)
        computed = time.thread_time() - computed
        self.seconds += computed
        self.waiting += time.perf_counter() - wall - computed
        return ended


def measure_driver(jobs: int = 200, submitted: int = 4000, machines: int = 20) -> Measured:
    """Run empty jobs, wait among many, and start more machines of Ray on this one.

    Args:
        jobs: number of them, several times; the fastest counts, other processes may disturb it.
        submitted: tasks in Ray while the cost of a wait is measured.
        machines: number of them while the cost of a question about all is measured.
    """
    with TemporaryDirectory() as folder, ExitStack() as stack:
        cluster = TimedCluster(folder, 8)
        stack.enter_context(cluster)
        _driver_seconds(32, folder, cluster)  # starts the worker
        job, runner = min(_driver_seconds(jobs, folder, cluster) for _ in range(_REPETITIONS))
        wait = _wait_seconds(submitted) / submitted
    return Measured(job, runner, wait, _machine_seconds(machines))


def _driver_seconds(jobs: int, folder: str, cluster: TimedCluster) -> tuple[float, float]:
    """Seconds of the driver for a job, and of the runner in them."""
    cluster.seconds = cluster.waiting = 0.0
    start = time.perf_counter()
    runner = Runner(_rows(jobs), Store(folder), cluster)
    runner.run()
    whole = time.perf_counter() - start - cluster.waiting
    if len(runner.finished) != jobs:
        raise RuntimeError(f"only {len(runner.finished)} of {jobs} empty jobs finished: {runner.failed}")
    return whole / jobs, (whole - cluster.seconds) / jobs


def _wait_seconds(submitted: int) -> float:
    """Seconds of what `RayCluster.wait` does when one of many tasks has ended."""
    import ray

    sleep = ray.remote(num_cpus=1)(_sleep)
    ended = ray.put(None)
    tasks = [ended, *(sleep.remote(3600) for _ in range(submitted - 1))]
    fastest = float("inf")
    for _ in range(2 * _REPETITIONS):
        start = time.perf_counter()
        ray.wait(list(tasks), timeout=0.5)
        ray.wait(list(tasks), num_returns=len(tasks), timeout=0)
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def _machine_seconds(machines: int) -> float:
    """Seconds that each further machine adds to the question about all that `RayCluster` has."""
    import ray
    from ray.cluster_utils import Cluster

    memory = 80 << 20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        time.sleep(_QUIET)
        one = _question_seconds()
        for _ in range(machines - 1):
            cluster.add_node(num_cpus=1, object_store_memory=memory)
        time.sleep(_QUIET)
        return max(0.0, _question_seconds() - one) / (machines - 1)
    finally:
        ray.shutdown()
        cluster.shutdown()


def _question_seconds() -> float:
    """The fastest of many: the machines of Ray share this one with each other."""
    import ray

    fastest = float("inf")
    for _ in range(1000):
        start = time.perf_counter()
        ray.nodes()
        fastest = min(fastest, time.perf_counter() - start)
        time.sleep(0.003)
    return fastest


def _rows(count: int) -> list[Row]:
    def row(job: Job) -> Row:
        return Row(job.row, job, lambda: _single(job))

    return [row(Job(f"train/row{index}", f"row{index}", ("train",))) for index in range(count)]


def _single(job: Job) -> Steps:
    yield [job]


def _empty(job: Job, store: str, version: str, probe: str) -> Outcome:
    return Outcome(job.key, None)


def lines(measured: Measured) -> Iterator[str]:
    """What was measured."""
    yield f"driver: {1000 * measured.job:.2f} ms a job, of which the runner {1000 * measured.runner:.2f} ms"
    yield f"driver: {1e6 * measured.submitted:.2f} us a submitted job in each wait"
    yield f"driver: {1e6 * measured.machine:.1f} us a machine in each question about all machines"


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
