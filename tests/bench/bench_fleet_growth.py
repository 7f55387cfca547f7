"""How the throughput of `headsplat fleet` grows with machines: its real scheduler on a simulated cluster.

    python -m tests.bench.bench_fleet_growth fleet.jsonl [--machines 1 10 100] [--seed 0] [--json FILE]

The durations of jobs are those that a real fleet has written to `fleet.jsonl`; rows train avatars and render films in
pieces. Machines, their failures and the time are simulated (`fleet_simulation`), the scheduling is that of
`avatar.fleet.runner`. Two tables: rows in proportion to the machines, and a fixed number of rows. The result is the
same for the same seed. `--measure-driver` first measures what a job costs the driver, with empty jobs of Ray here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Needs
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.rows import FleetSetup, Row, render_row, train_row
from avatar.fleet.runner import Event, Runner
from avatar.fleet.store import Store
from tests.bench.fleet_simulation import (
    NO_FAULTS,
    Clock,
    DriverCosts,
    EmptyStore,
    Faults,
    Task,
    VirtualCluster,
)
from tests.support.fleet import read_metrics

#: Frames of a piece of a film.
PIECE = 600
#: Measured by `fleet_driver` on a virtual machine with two cores, Ray 2.60; the last one with 1 to 20 machines.
DRIVER_MS, WAIT_US, MACHINE_US = 0.6, 0.5, 12.0
#: Simulated machines of a size, at least: small sizes run several times, and their sums count.
POOLED = 10
COLUMNS = (
    "machines", "rows", "jobs", "rows/h", "efficiency", "attempts repeated", "rows failed", "workers idle", "tail s",
    "driver busy", "limit",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What is simulated at each size."""

    tasks: Mapping[str, Sequence[Task]]
    films: float  # part of the rows
    pieces: int  # of the longest film; shorter ones have 1, 2, ... in turn
    retries: int


@dataclass(frozen=True)
class Cluster:
    """The machines."""

    workers: int  # of each
    faults: Faults
    costs: DriverCosts


@dataclass
class Result:
    """Sums over runs of one size."""

    runs: int = 0
    rows: int = 0
    finished: int = 0
    failed: int = 0
    jobs: int = 0
    retried: int = 0  # attempts of jobs after the first
    seconds: float = 0.0
    tail_seconds: float = 0.0
    busy_seconds: float = 0.0  # of workers
    worker_seconds: float = 0.0
    driver_seconds: float = 0.0  # until the tail
    full_seconds: float = 0.0  # until the tail

    def __add__(self, other: Result) -> Result:
        return Result(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    @property
    def rows_an_hour(self) -> float:
        """Finished rows."""
        return 3600 * self.finished / self.seconds

    @property
    def driver_share(self) -> float:
        """Part of the time until the tail in which the driver works."""
        return self.driver_seconds / self.full_seconds if self.full_seconds else 0.0

    @property
    def limit(self) -> str:
        """What the duration depends on most."""
        if 2 * self.tail_seconds > self.seconds:
            return "last jobs"
        return "driver" if self.driver_share > 0.9 else "workers"


def measured_tasks(path: Path) -> dict[str, list[Task]]:
    """The finished jobs in the metrics of a fleet, by the first part of their keys.

    Raises:
        HeadsplatError: there is no such file, or it has neither trainings nor pieces of films.
    """
    found: dict[str, list[Task]] = {}
    for event in read_metrics(path):
        if event.get("event") == "done" and "seconds" in event:
            task = Task(float(event["seconds"]), int(event.get("memory", 0)))
            found.setdefault(str(event["job"]).partition("/")[0], []).append(task)
    if not found.keys() & {"train", "pieces"}:
        raise HeadsplatError(f"{path}: has no finished training or piece of a film; give the metrics of such a fleet")
    return found


def simulated_rows(count: int, work: Work, setup: FleetSetup) -> tuple[list[Row], dict[str, int]]:
    """Rows of trainings and films, mixed, and the frames of the films."""
    rows, frames = list[Row](), dict[str, int]()
    lengths = itertools.cycle(range(1, work.pieces + 1))
    for index in range(count):
        name = f"row{index}"
        if int((index + 1) * work.films) > int(index * work.films):
            values = {"avatar": "people/one.avatar", "motion": "take.csv"}
            frames[name] = PIECE * next(lengths)
            rows.append(render_row(ManifestRow(name, "", values), setup, (), ".mp4", PIECE))
        else:
            rows.append(train_row(ManifestRow(name, "", {"source": "clip.mp4"}), setup, ()))
    return rows, frames


def simulate(machines: int, count: int, work: Work, cluster: Cluster, seed: str) -> Result:
    """Run `count` rows on `machines`."""
    clock, events = Clock(), {"start": 0, "retry": 0}
    store: Store = EmptyStore("/fleet", clock, cluster.costs.lookup)
    rows, frames = simulated_rows(count, work, FleetSetup("/fleet", store, Needs()))
    virtual = VirtualCluster(
        machines, cluster.workers, work.tasks, frames, count, cluster.faults, cluster.costs, clock, seed
    )

    def counted(event: Event) -> None:
        if event.kind in events:
            events[event.kind] += 1

    runner = Runner(rows, store, virtual, work.retries, report=counted)
    runner.run()
    if len(runner.finished) + len(runner.failed) != count:
        raise AssertionError(f"{count} rows, {len(runner.finished)} finished and {len(runner.failed)} failed")
    tail = clock.now if virtual.tail_start is None else virtual.tail_start
    return Result(
        1, count, len(runner.finished), len(runner.failed), events["start"] - events["retry"], events["retry"],
        clock.now, clock.now - tail, virtual.busy_seconds, virtual.worker_seconds, virtual.driver_before_tail, tail,
    )  # fmt: skip


def pooled(machines: int, count: int, work: Work, cluster: Cluster, seed: int) -> Result:
    """The sum of as many runs as give `POOLED` machines."""
    runs = range(-(-POOLED // machines))
    return sum((simulate(machines, count, work, cluster, f"{seed} {machines} {run}") for run in runs), Result())


def line(machines: int, result: Result, base: float) -> str:
    """A line of a table; `base` is the rows per hour of one machine."""
    cells = (
        machines, result.rows // result.runs, result.jobs // result.runs, f"{result.rows_an_hour:.0f}",
        f"{result.rows_an_hour / machines / base:.3f}", f"{result.retried / result.jobs:.2%}", result.failed,
        f"{1 - result.busy_seconds / result.worker_seconds:.1%}", f"{result.tail_seconds / result.runs:.0f}",
        f"{result.driver_share:.1%}", result.limit,
    )  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(results: Mapping[int, Result]) -> Iterator[str]:
    """A Markdown table of the results by machines, the first of which is the base."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|" + "---:|" * len(COLUMNS)
    first = min(results)
    base = results[first].rows_an_hour / first
    for machines, result in results.items():
        yield line(machines, result, base)


def tasks_table(tasks: Mapping[str, Sequence[Task]]) -> Iterator[str]:
    """A Markdown table of the measured jobs."""
    yield "| measured | jobs | median s |"
    yield "|---|---:|---:|"
    for name, found in tasks.items():
        yield f"| {name} | {len(found)} | {statistics.median(task.seconds for task in found):.2f} |"


def work_of(tasks: Mapping[str, Sequence[Task]], given: argparse.Namespace) -> Work:
    """The work that measured tasks allow; the join of a film takes as long as a piece where none was measured."""
    films = {(True, True): given.films, (True, False): 0.0, (False, True): 1.0}["train" in tasks, "pieces" in tasks]
    found = {**tasks, "render": tasks.get("render") or tasks.get("pieces", [])}
    longer = {
        name: [task._replace(seconds=given.task_factor * task.seconds) for task in each] for name, each in found.items()
    }
    return Work(longer, films, given.pieces, given.retries)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=Path, help="fleet.jsonl of a real fleet")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 2, 10, 30, 100, 300, 1000])
    parser.add_argument("--workers", type=int, default=16, help="of each machine, one core each")
    parser.add_argument("--rows", type=int, default=480, help="for each machine, of the first table")
    parser.add_argument("--fixed-rows", type=int, default=5000, help="of the second table; 0: none")
    parser.add_argument("--films", type=float, default=0.25, help="part of the rows; the others are trainings")
    parser.add_argument("--pieces", type=int, default=8, help="of the longest film")
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--task-factor", type=float, default=1.0, help="multiplies the measured durations")
    parser.add_argument("--no-faults", action="store_true", help="no slow machine, no failure")
    parser.add_argument("--driver-ms", type=float, default=DRIVER_MS, help="of the driver for each job")
    parser.add_argument("--wait-us", type=float, default=WAIT_US, help="of each wait, for each submitted job")
    parser.add_argument(
        "--machine-us", type=float, default=MACHINE_US, help="of each question about all machines, each"
    )
    parser.add_argument("--reused", type=float, default=15.0, help="seconds for which such an answer is used again")
    parser.add_argument("--lookup-ms", type=float, default=0.5, help="of each look into the store (assumed)")
    parser.add_argument("--measure-driver", action="store_true", help="measure these three with Ray, and use them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the results")
    return parser.parse_args(arguments)


def report(given: argparse.Namespace) -> dict[str, Any]:
    """Simulate all sizes, print the tables, and return what the JSON file has.

    Raises:
        HeadsplatError: the metrics cannot be used.
    """
    measured = measured_tasks(given.metrics)
    print(*tasks_table(measured), "", sep="\n")
    costs = DriverCosts(
        given.driver_ms / 1000, given.wait_us / 1e6, given.lookup_ms / 1000, given.machine_us / 1e6, given.reused
    )
    cluster = Cluster(given.workers, NO_FAULTS if given.no_faults else Faults(), costs)
    work = work_of(measured, given)
    tables = {}
    for title, each, fixed in ((f"{given.rows} rows a machine", given.rows, 0), ("fixed", 0, given.fixed_rows)):
        if not each + fixed:
            continue
        title = title if each else f"{fixed} rows"
        results = {
            machines: pooled(machines, each * machines + fixed, work, cluster, given.seed)
            for machines in given.machines
        }
        print(f"{title}:\n", *table(results), "", sep="\n", flush=True)
        tables[title] = {machines: asdict(result) for machines, result in results.items()}
    return {"costs": asdict(costs), "faults": asdict(cluster.faults), "seed": given.seed, "tables": tables}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit code."""
    given = parsed(arguments)
    try:
        if given.measure_driver:
            from tests.bench.fleet_driver import lines, measure_driver

            found = measure_driver()
            print(*lines(found), "", sep="\n")
            given.driver_ms, given.wait_us = 1000 * found.job, 1e6 * found.submitted
            given.machine_us = 1e6 * found.machine
        content = report(given)
    except HeadsplatError as error:
        print(error, file=sys.stderr)
        return 1
    if given.json is not None:
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
