"""Which jobs run: rows that are done are skipped, killed jobs run again, and a row that fails fails alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol

from avatar.errors import HeadsplatError
from avatar.fleet.inputs import is_current
from avatar.fleet.jobs import Job, Needs, Outcome
from avatar.fleet.rows import Row, Steps
from avatar.fleet.store import Store

#: Seconds between two looks at the running jobs.
_PAUSE = 0.5
#: Jobs submitted, relative to those that run at the same time: as many wait as run.
_SUBMITTED = 2.0
#: The memory asked for, relative to the most that a job of the same command has used.
_MARGIN = 1.25
_MIN_MEASURED = 3


@dataclass(frozen=True)
class Lost:
    """A job whose worker, or whose machine, has ended."""

    key: str
    reason: str
    no_memory: bool = False  # it was ended because the machine had no memory left


class Executor(Protocol):
    """Where jobs run."""

    def slots(self, needs: Needs) -> int:
        """How many jobs with these needs run at the same time, at least 1."""
        ...

    def submit(self, job: Job) -> None:
        """Start a job as soon as there is room for it."""
        ...

    def wait(self, seconds: float) -> list[Outcome | Lost]:
        """The jobs that have ended since the last call; waits up to `seconds` for the first one."""
        ...


@dataclass(frozen=True)
class Event:
    """Something that happened, for the display and the metrics."""

    kind: str  # skipped, start, done, retry, row, failed; dropped: a job failed whose rows have all failed before
    row: str
    job: str = ""
    reason: str = ""
    outcome: Outcome | None = None


@dataclass
class _Active:
    """A row of which jobs run."""

    row: Row
    steps: Steps
    batch: Sequence[Job]
    outcomes: dict[str, Outcome]


@dataclass
class Runner:
    """Runs rows to their end. `finished` and `failed` have the names of the rows, the latter with their reasons."""

    rows: Iterable[Row]
    store: Store
    executor: Executor
    retries: int = 2  # further attempts of a job that was killed
    overwrite: bool = False  # run rows again whose options or inputs have changed
    report: Callable[[Event], None] = lambda event: None
    finished: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = deque(self.rows)
        self._active: dict[str, _Active] = {}
        self._users: dict[str, list[str]] = {}  # job -> rows that wait for it: several may share it, none if all failed
        self._lost: dict[str, str] = {}  # failed jobs with their reasons
        self._ready: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._attempts: dict[str, int] = {}
        self._needs: Counter[Needs] = Counter()  # of the submitted jobs
        self._measured: Counter[str] = Counter()  # command -> finished jobs whose memory is known
        self._memory: dict[str, int] = {}  # command -> bytes, the most that one of them has used

    @property
    def left(self) -> int:
        """Number of rows that are neither done nor failed."""
        return len(self._waiting) + len(self._active)

    def run(self) -> None:
        """Run all rows; returns when none is left."""
        while self._waiting or self._active:
            self._submit()
            if self._running:
                for ended in self.executor.wait(_PAUSE):
                    self._ended(ended)
            self.report(Event("tick", ""))

    def _submit(self) -> None:
        """Start rows and submit jobs until twice as many are submitted as run at the same time."""
        slots = cache(self.executor.slots)  # a question to the whole cluster: once for all jobs with the same needs
        while True:
            while self._ready:
                if not self._users[self._ready[0].key]:
                    del self._users[self._ready.popleft().key]
                    continue
                job = self._with_learned_memory(self._ready[0])
                if sum(count / slots(needs) for needs, count in self._needs.items()) >= _SUBMITTED:
                    return
                self._ready.popleft()
                self._running[job.key] = job
                self._needs[job.needs] += 1
                self.report(Event("start", job.row, job.key))
                self.executor.submit(job)
            if not self._waiting:
                return
            self._start(self._waiting.popleft())

    def _start(self, row: Row) -> None:
        if row.final is None:
            self._fail(row.name, row.failure or "nothing to do")
            return
        key = row.final.key
        record = self.store.record(key)
        changed = None if record is None else is_current(row.final, record)
        if record is not None and changed is None:
            self.store.remove(f"pieces/{row.name}")  # of a run that was killed before it could
            self.skipped.append(row.name)
            self.report(Event("skipped", row.name, key))
            return
        if changed is not None and not self.overwrite:
            self._fail(row.name, f"{key}: done before {changed}; give --overwrite to run changed rows again")
            return
        try:
            self.store.check_replaceable(key)
        except HeadsplatError as error:
            self._fail(row.name, str(error))
            return
        steps = row.steps()
        self._continue(_Active(row, steps, (), {}), started=False)

    def _continue(self, active: _Active, started: bool = True) -> None:
        """Take the next jobs of a row whose last ones are done, or finish it."""
        try:
            if started:
                active.batch = active.steps.send([active.outcomes[job.key] for job in active.batch])
            else:
                active.batch = next(active.steps)
        except StopIteration:
            self._active.pop(active.row.name, None)
            self.finished.append(active.row.name)
            self.report(Event("row", active.row.name))
            return
        active.outcomes = {}
        self._active[active.row.name] = active
        for job in active.batch:
            if active.row.name in self._active:
                self._ask(job, active)
        if active.row.name in self._active:
            self._advance(active)

    def _ask(self, job: Job, active: _Active) -> None:
        """Get the outcome of a job: from the store, from another row, or by running it."""
        if job.key in self._lost:
            self._fail(active.row.name, self._lost[job.key], job.key)
        elif job.key in self._users:
            self._users[job.key].append(active.row.name)
        else:
            record = self.store.record(job.key) if job.key != getattr(active.row.final, "key", "") else None
            if record is not None and is_current(job, record) is None:
                active.outcomes[job.key] = Outcome(job.key, None, frames=record.get("frames"))
            else:
                self._users[job.key] = [active.row.name]
                self._ready.append(job)

    def _advance(self, active: _Active) -> None:
        if all(job.key in active.outcomes for job in active.batch):
            self._continue(active)

    def _ended(self, ended: Outcome | Lost) -> None:
        job = self._running.pop(ended.key)
        self._needs[job.needs] -= 1
        self._needs += Counter()  # without needs that no job has
        reason = ended.reason if isinstance(ended, Lost) else ended.sentence
        again = isinstance(ended, Lost) or ended.retry
        outcome = None if isinstance(ended, Lost) else ended
        attempts = self._attempts.get(job.key, 0)
        wanted = bool(self._users[job.key])
        if reason is not None and again and wanted and attempts < self.retries:
            self._attempts[job.key] = attempts + 1
            if ended.no_memory:
                job = job.with_memory(2 * job.needs.memory)
            self._ready.appendleft(job)
            self.report(Event("retry", job.row, job.key, reason, outcome))
            return
        rows = self._users.pop(job.key)
        if reason is not None and not wanted:
            self.report(Event("dropped", job.row, job.key, reason, outcome))
            return
        if reason is not None:
            self._lost[job.key] = f"{reason} ({attempts + 1} attempts)" if attempts else reason
            for name in rows:
                self._fail(name, self._lost[job.key], job.key, outcome)
            return
        assert outcome is not None
        self._measure(job, outcome)
        self.report(Event("done", job.row, job.key, outcome=outcome))
        for name in rows:
            if name in self._active:
                self._active[name].outcomes[job.key] = outcome
                self._advance(self._active[name])

    def _fail(self, name: str, reason: str, job: str = "", outcome: Outcome | None = None) -> None:
        """End a row. Its jobs that run go on; those that wait are left out, unless other rows wait for them, too."""
        if name in self.failed:
            return
        active = self._active.pop(name, None)
        self.failed[name] = reason
        self.report(Event("failed", name, job, reason, outcome))
        if active is None:
            return
        active.steps.close()
        for key in {each.key for each in active.batch} & self._users.keys():
            self._users[key] = [row for row in self._users[key] if row != name]

    def _measure(self, job: Job, outcome: Outcome) -> None:
        if outcome.memory:
            command = str(job.arguments[0])
            self._measured[command] += 1
            self._memory[command] = max(outcome.memory, self._memory.get(command, 0))

    def _with_learned_memory(self, job: Job) -> Job:
        """A job with the memory that others of its command have needed, once a few are done."""
        command = str(job.arguments[0])
        if self._measured[command] < _MIN_MEASURED or job.key in self._attempts:
            return job
        return replace(job, needs=replace(job.needs, memory=int(_MARGIN * self._memory[command])))
