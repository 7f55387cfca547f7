"""A cluster on a virtual clock, as an executor of `avatar.fleet.runner`: slow machines, failures, and a busy driver."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from avatar.fleet.jobs import Job, Needs, Outcome
from avatar.fleet.runner import Lost
from avatar.fleet.store import Store


class Task(NamedTuple):
    """A measured job."""

    seconds: float  # wall-clock, fetching and storing included
    memory: int  # bytes


@dataclass(frozen=True)
class Faults:
    """What goes wrong; the defaults are assumptions."""

    slow_machines: float = 0.05  # part of the machines, rounded down
    slow_speed: float = 1 / 3  # relative to the others
    long_tasks: float = 0.01  # part of the tasks
    long_factor: float = 3.0  # of their duration
    killed: float = 0.005  # part of the attempts whose process is killed, at a random time
    hours_between_failures: float = 100.0  # mean, of one machine; all its jobs are lost
    back_after: float = 300.0  # seconds


NO_FAULTS = Faults(slow_machines=0.0, long_tasks=0.0, killed=0.0, hours_between_failures=float("inf"))


@dataclass(frozen=True)
class DriverCosts:
    """Seconds that the process with the runner needs; nothing else happens in it meanwhile."""

    job: float  # to submit a job and to process its outcome
    submitted: float  # of each wait, for each submitted job
    lookup: float  # of the store for a record or a folder
    machine: float  # of each question to Ray about all machines, for each machine
    reused: float = 0.0  # seconds for which such an answer is used again


@dataclass
class Clock:
    """The time in seconds, and how much of it the driver has worked."""

    now: float = 0.0
    driver: float = 0.0

    def work(self, seconds: float) -> None:
        """Let the driver work."""
        self.now += seconds
        self.driver += seconds


@dataclass(frozen=True)
class EmptyStore(Store):
    """A store without records, in which every look costs the driver time."""

    clock: Clock
    lookup: float  # seconds

    def record(self, key: str) -> dict[str, Any] | None:
        """None, after the time for a look."""
        self.clock.work(self.lookup)
        return None

    def check_replaceable(self, key: str) -> None:
        """Nothing, after the time for a look."""
        self.clock.work(self.lookup)


@dataclass
class _Machine:
    speed: float
    epoch: int = 0  # how often it has left: what started before is void
    running: set[str] = field(default_factory=set)  # keys of jobs


class _Worker(NamedTuple):
    machine: int
    epoch: int


class VirtualCluster:
    """An executor whose machines have workers of one core each; a first-come queue as in Ray's scheduler.

    The memory of jobs limits nothing here, and a lost machine is noticed at once.

    Args:
        machines: number of them.
        workers: of each machine.
        tasks: first part of a job's key -> measured tasks, from which each attempt takes one at random.
        frames: row -> frames of its film.
        rows: number of rows that will run; from the time when all have been submitted the tail is measured.
        faults: what goes wrong.
        costs: of the driver.
        clock: shared with the store.
        seed: of all that is random.
    """

    def __init__(
        self,
        machines: int,
        workers: int,
        tasks: Mapping[str, Sequence[Task]],
        frames: Mapping[str, int],
        rows: int,
        faults: Faults,
        costs: DriverCosts,
        clock: Clock,
        seed: str,
    ) -> None:
        self._tasks, self._frames, self._faults, self._costs = tasks, frames, faults, costs
        self._random, self._clock, self._workers = random.Random(seed), clock, workers
        slow = int(faults.slow_machines * machines)
        self._machines = [_Machine(faults.slow_speed if index < slow else 1.0) for index in range(machines)]
        order = [index for _ in range(workers) for index in range(machines)]
        self._random.shuffle(order)
        self._free = deque(_Worker(index, 0) for index in order)  # those of lost machines are left out when met
        self._idle, self._alive = machines * workers, machines
        self._events: list[tuple[float, int, str, Any]] = []
        self._numbers = itertools.count()
        self._queue: deque[Job] = deque()
        self._submitted: dict[str, Job] = {}
        self._ended: list[Outcome | Lost] = []
        self._unseen = rows
        self._seen: set[str] = set()
        self._done: set[str] = set()
        self._last, self._asked = 0.0, float("-inf")
        self.busy_seconds = 0.0  # of all workers
        self.worker_seconds = 0.0  # of all workers of machines that are there
        self.tail_start: float | None = None  # seconds
        self.driver_before_tail = 0.0  # seconds
        for index in range(machines):
            self._plan_failure(index, 0.0)

    def slots(self, needs: Needs) -> int:
        """Workers of the machines that are there, at least 1."""
        self._ask()
        return max(1, self._alive * self._workers)

    def submit(self, job: Job) -> None:
        """Queue a job; the driver works meanwhile."""
        assert job.key not in self._done, f"{job.key} has finished already"
        self._ask()
        self._clock.work(self._costs.job)
        self._advance(self._clock.now)
        self._submitted[job.key] = job
        if job.row not in self._seen:
            self._seen.add(job.row)
            self._unseen -= 1
        self._queue.append(job)
        self._start(self._clock.now)

    def wait(self, seconds: float) -> list[Outcome | Lost]:
        """What has ended; waits on the virtual clock."""
        self._clock.work(self._costs.submitted * len(self._submitted))
        self._advance(self._clock.now)
        limit = self._clock.now + seconds
        while not self._ended and self._events and self._events[0][0] <= limit:
            self._clock.now = self._events[0][0]
            self._advance(self._clock.now)
        if not self._ended:
            self._clock.now = limit
            self._advance(limit)
        ended, self._ended = self._ended, []
        for each in ended:
            del self._submitted[each.key]
            if isinstance(each, Outcome) and each.sentence is None:
                self._done.add(each.key)
        return ended

    def _ask(self) -> None:
        """What `RayCluster` does before a submission and for the slots: a question about all machines."""
        if self._clock.now >= self._asked + self._costs.reused:
            self._clock.work(self._costs.machine * self._alive)
            self._asked = self._clock.now

    def _advance(self, until: float) -> None:
        """Let happen what happens until a time in seconds."""
        while self._events and self._events[0][0] <= until:
            now, _, kind, what = heapq.heappop(self._events)
            self._account(now)
            if kind == "end":
                self._finish(*what)
            elif kind == "leave":
                self._leave(now, what)
            else:
                self._return(now, what)
            self._start(now)
        self._account(until)

    def _account(self, now: float) -> None:
        there = self._alive * self._workers
        self.worker_seconds += (now - self._last) * there
        self.busy_seconds += (now - self._last) * (there - self._idle)
        self._last = now

    def _start(self, now: float) -> None:
        """Start queued jobs on free workers."""
        while self._queue and self._free:
            worker = self._free.popleft()
            machine = self._machines[worker.machine]
            if worker.epoch != machine.epoch:
                continue
            job = self._queue.popleft()
            self._idle -= 1
            machine.running.add(job.key)
            outcome, seconds = self._attempt(job)
            self._plan(now + seconds / machine.speed, "end", (worker, outcome))
        if self.tail_start is None and not self._unseen and not self._queue and self._idle:
            self.tail_start, self.driver_before_tail = now, self._clock.driver

    def _attempt(self, job: Job) -> tuple[Outcome, float]:
        """How an attempt ends if its machine stays, and its seconds on a machine of normal speed."""
        faults, draw = self._faults, self._random.random
        task = self._random.choice(self._tasks[job.key.partition("/")[0]])
        seconds = task.seconds * (faults.long_factor if draw() < faults.long_tasks else 1.0)
        if draw() < faults.killed:
            return Outcome(job.key, f"{job.key}: its process was ended by SIGKILL", retry=True), seconds * draw()
        outcome = Outcome(job.key, None, seconds=seconds, memory=task.memory)
        if job.frames is not None:
            frames = self._frames[job.row]
            whole = job.whole is not None and frames <= int(job.frames.partition(":")[2])
            outcome = replace(outcome, frames=frames, whole=whole)
        return outcome, seconds

    def _finish(self, worker: _Worker, outcome: Outcome) -> None:
        machine = self._machines[worker.machine]
        if worker.epoch != machine.epoch:
            return
        machine.running.remove(outcome.key)
        self._ended.append(outcome)
        self._free.append(worker)
        self._idle += 1

    def _leave(self, now: float, index: int) -> None:
        machine = self._machines[index]
        lost, machine.running = sorted(machine.running), set()
        self._ended += [Lost(key, f"{key}: its machine has left the cluster") for key in lost]
        self._idle -= self._workers - len(lost)
        self._alive -= 1
        machine.epoch += 1
        self._plan(now + self._faults.back_after, "return", index)

    def _return(self, now: float, index: int) -> None:
        self._alive += 1
        self._idle += self._workers
        self._free.extend(_Worker(index, self._machines[index].epoch) for _ in range(self._workers))
        self._plan_failure(index, now)

    def _plan_failure(self, index: int, now: float) -> None:
        mean = 3600 * self._faults.hours_between_failures
        if mean != float("inf"):
            self._plan(now + self._random.expovariate(1 / mean), "leave", index)

    def _plan(self, time: float, kind: str, what: Any) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), kind, what))
