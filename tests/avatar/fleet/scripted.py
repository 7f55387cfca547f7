"""An executor and a store in memory for tests of the runner: what each attempt of a job ends with is given."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Job, Needs, Outcome
from avatar.fleet.rows import Row, Steps
from avatar.fleet.runner import Lost
from avatar.fleet.store import Store

#: Ends of an attempt: `gone` and `memory` without an outcome, `killed` with one that may run again, `error` with none.
OK, GONE, MEMORY, KILLED, ERROR = "ok", "gone", "memory", "killed", "error"


@dataclass(frozen=True)
class MemoryStore(Store):
    """A store in memory; `/` in the URL keeps the paths of the real one."""

    url: str = "/store"
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    strange: set[str] = field(default_factory=set)  # keys at which something is that no fleet has written
    removed: list[str] = field(default_factory=list)

    def record(self, key: str) -> dict[str, Any] | None:
        """The record of a job that has finished."""
        return self.records.get(key)

    def check_replaceable(self, key: str) -> None:
        """Raise HeadsplatError if the key is one of `strange`."""
        if key in self.strange:
            raise HeadsplatError(f"{self.path(key)}: not ours")

    def remove(self, name: str) -> None:
        """Note the name."""
        self.removed.append(name)


class ScriptedExecutor:
    """Ends jobs in any order, one or more in each wait.

    Args:
        store: gets the records of jobs that succeed.
        script: key -> ends of its attempts; after them, and for other keys, `ok`.
        width: jobs that run at the same time; with memory in their needs, `memory` bytes are shared.
        memory: bytes of the machine.
        used: bytes that a job uses.
        frames: key -> frames of the whole film, of a job that renders a piece of it.
        seed: of the order.
    """

    def __init__(
        self,
        store: MemoryStore,
        script: Mapping[str, Sequence[str]] | None = None,
        width: int = 2,
        memory: int = 0,
        used: int = 0,
        frames: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        self._store, self._script, self._width, self._memory, self._used = store, script or {}, width, memory, used
        self._frames, self._random = frames or {}, random.Random(seed)
        self.submitted: list[Job] = []  # all, in order
        self.running: list[Job] = []
        self.waits: list[tuple[int, int]] = []  # for each wait: jobs that are submitted then, attempts until then
        self.questions = 0  # calls of `slots`

    def slots(self, needs: Needs) -> int:
        """How many jobs with these needs run at the same time."""
        self.questions += 1
        return max(1, min(self._width, self._memory // needs.memory if needs.memory and self._memory else self._width))

    def attempts(self, key: str) -> int:
        """How often a job was submitted."""
        return sum(job.key == key for job in self.submitted)

    def submit(self, job: Job) -> None:
        """Start a job."""
        assert job.key not in [each.key for each in self.running], f"{job.key} runs already"
        self.submitted.append(job)
        self.running.append(job)

    def wait(self, seconds: float) -> list[Outcome | Lost]:
        """End some of the jobs that run, at most `width`."""
        assert self.running
        self.waits.append((len(self.running), len(self.submitted)))
        chosen = self._random.sample(self.running, self._random.randint(1, min(len(self.running), self._width)))
        for job in chosen:
            self.running.remove(job)
        return [self._end(job) for job in chosen]

    def _end(self, job: Job) -> Outcome | Lost:
        script, number = self._script.get(job.key, ()), self.attempts(job.key) - 1
        end = script[number] if number < len(script) else OK
        if end in (GONE, MEMORY):
            return Lost(job.key, f"{job.key}: {end}", no_memory=end == MEMORY)
        if end != OK:
            return Outcome(job.key, f"{job.key}: {end}", retry=end == KILLED, no_memory=end == KILLED)
        frames = self._frames.get(job.key)
        whole = frames is not None and job.whole is not None and f"0:{frames}" == job.frames
        done = job.whole if whole and job.whole is not None else job
        self._store.records[done.key] = {"arguments": done.command_line, "inputs": {}, "frames": frames}
        return Outcome(job.key, None, memory=self._used, frames=frames, whole=whole)


def job(key: str, row: str = "", memory: int = 0, option: str = "") -> Job:
    """A job without inputs."""
    return Job(key, row, ("train", option), Needs(memory=memory))


def row(name: str, *batches: Sequence[Job]) -> Row:
    """A row that runs the jobs of each batch at the same time; the last job of all says that it is done."""

    def steps() -> Steps:
        for batch in batches:
            outcomes = yield batch
            assert [each.key for each in outcomes] == [each.key for each in batch]

    return Row(name, batches[-1][-1], steps)


def single(name: str, memory: int = 0) -> Row:
    """A row of one job, `train/NAME`."""
    return row(name, [job(f"train/{name}", name, memory)])
