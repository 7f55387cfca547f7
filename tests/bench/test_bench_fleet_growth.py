"""The simulation of a growing fleet, against clusters whose throughput is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import bench_fleet_growth as bench
from tests.bench.fleet_simulation import NO_FAULTS, DriverCosts, Faults, Task

WORK = bench.Work(
    {
        "train": [Task(seconds, 600_000_000) for seconds in (9.0, 10.0, 11.0)],
        "pieces": [Task(3.0, 0), Task(4.0, 0)],
        "render": [Task(1.0, 0)],
    },
    films=0.25,
    pieces=4,
    retries=2,
)
FREE = DriverCosts(0.0, 0.0, 0.0, 0.0)
IDEAL = bench.Cluster(4, NO_FAULTS, FREE)


def metrics(folder: Path, *commands: str) -> Path:
    """Metrics of a fleet with a job of each command that took 2, 3, 4 ... seconds."""
    path = folder / "fleet.jsonl"
    done = {"event": "done", "memory": 600_000_000}
    jobs = [done | {"job": f"{command}/anna", "seconds": 2 + index} for index, command in enumerate(commands)]
    events = [{"event": "start", "job": "train/anna"}, *jobs, {"event": "failed", "job": "train/ben", "seconds": 1}]
    path.write_text("\n".join(map(json.dumps, events)) + "\n")
    return path


def test_twice_the_machines_give_almost_twice_the_rows() -> None:
    few, many = (bench.simulate(machines, 800, WORK, IDEAL, "0") for machines in (2, 4))
    assert 1.7 < many.rows_an_hour / few.rows_an_hour <= 2.0
    assert (many.finished, many.failed, many.retried) == (800, 0, 0)


def test_one_worker_works_all_the_time() -> None:
    work = replace(WORK, tasks={"train": [Task(10.0, 0)]}, films=0.0)
    result = bench.simulate(1, 50, work, replace(IDEAL, workers=1), "0")
    assert result.seconds == pytest.approx(500)
    assert result.busy_seconds == pytest.approx(result.worker_seconds) == pytest.approx(500)


def test_a_film_has_its_pieces_and_a_join() -> None:
    result = bench.simulate(1, 4, replace(WORK, films=1.0), IDEAL, "0")
    assert result.jobs == 1 + (2 + 1) + (3 + 1) + (4 + 1)


def test_a_slow_machine_does_its_part() -> None:
    work = replace(WORK, tasks={"train": [Task(10.0, 0)]}, films=0.0)
    slow = replace(IDEAL, faults=replace(NO_FAULTS, slow_machines=0.5))
    assert bench.simulate(2, 4000, work, slow, "0").rows_an_hour == pytest.approx(4 * 360 * (1 + 1 / 3), rel=0.02)


def test_every_row_ends_where_machines_leave_and_processes_are_killed() -> None:
    faults = Faults(hours_between_failures=0.05, back_after=60, killed=0.1)
    result = bench.simulate(5, 400, WORK, replace(IDEAL, faults=faults), "0")
    assert result.finished + result.failed == 400
    assert 0.1 < result.retried / result.jobs < 0.5
    assert result.busy_seconds < result.worker_seconds < 5 * 4 * result.seconds


def test_jobs_that_are_always_killed_fail_their_rows_after_all_attempts() -> None:
    result = bench.simulate(1, 20, WORK, replace(IDEAL, faults=replace(NO_FAULTS, killed=1.0)), "0")
    assert (result.finished, result.failed, result.jobs, result.retried) == (0, 20, 20, 40)


@pytest.mark.parametrize(
    "costs",
    [replace(FREE, job=2.0), replace(FREE, submitted=1.0), replace(FREE, lookup=3.0), replace(FREE, machine=1.0)],
)
def test_a_busy_driver_is_the_limit(costs: DriverCosts) -> None:
    ideal, busy = (bench.simulate(2, 200, WORK, replace(IDEAL, costs=each), "0") for each in (FREE, costs))
    assert (ideal.limit, busy.limit) == ("workers", "driver")
    assert busy.rows_an_hour < 0.9 * ideal.rows_an_hour


def test_an_answer_about_the_machines_that_is_used_again_costs_less() -> None:
    costs = replace(FREE, machine=0.5)
    once, again = (
        bench.simulate(2, 100, WORK, replace(IDEAL, costs=each), "0") for each in (replace(costs, reused=10.0), costs)
    )
    assert once.driver_seconds < 0.5 * again.driver_seconds


def test_too_few_rows_are_limited_by_the_last_jobs() -> None:
    assert bench.simulate(10, 10, WORK, IDEAL, "0").limit == "last jobs"


def test_the_same_seed_gives_the_same_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = metrics(tmp_path, "train", "pieces", "eval")

    def printed(seed: int) -> str:
        options = ["--machines", "1", "20", "--workers", "2", "--rows", "20", "--fixed-rows", "100"]
        assert bench.main([str(path), *options, "--seed", str(seed), "--json", str(tmp_path / f"{seed}.json")]) == 0
        return capsys.readouterr().out

    first = printed(0)
    assert printed(0) == first != printed(1)
    assert "| train | 1 | 2.00 |\n| pieces | 1 | 3.00 |\n| eval | 1 | 4.00 |" in first
    content = json.loads((tmp_path / "0.json").read_text())
    assert content["tables"]["100 rows"]["20"]["rows"] == 100


def test_metrics_without_such_jobs_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([str(metrics(tmp_path, "eval"))]) == 1
    assert "has no finished training or piece of a film; give the metrics of such a fleet" in capsys.readouterr().err


def test_only_what_was_measured_is_simulated(tmp_path: Path) -> None:
    given = bench.parsed(["fleet.jsonl", "--task-factor", "2"])
    trained = bench.work_of(bench.measured_tasks(metrics(tmp_path, "train")), given)
    assert (trained.films, trained.tasks["train"][0].seconds) == (0.0, 4.0)
    filmed = bench.work_of(bench.measured_tasks(metrics(tmp_path, "pieces")), given)
    assert (filmed.films, filmed.tasks["render"]) == (1.0, filmed.tasks["pieces"])
