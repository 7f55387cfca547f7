"""The scheduling of a fleet, with an executor that ends each attempt of a job as the test says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.fleet.jobs import Input, Job, Needs, Output
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.rows import FleetSetup, Row, failed_row, render_row
from avatar.fleet.runner import Event, Runner
from tests.avatar.fleet.scripted import (
    ERROR,
    GONE,
    KILLED,
    MEMORY,
    OK,
    MemoryStore,
    ScriptedExecutor,
    job,
    row,
    single,
)

MB = 1_000_000
RETRIES = 2


def run(
    rows: list[Row], executor: ScriptedExecutor, store: MemoryStore, overwrite: bool = False
) -> tuple[Runner, list[Event]]:
    """Run rows to their end; the runner and its events."""
    events: list[Event] = []
    runner = Runner(rows, store, executor, RETRIES, overwrite, events.append)
    runner.run()
    return runner, events


def succeeds(script: list[str]) -> bool:
    """Whether a job whose attempts end so succeeds."""
    first = next((end for end in script[: RETRIES + 1] if end in (OK, ERROR)), None)
    return first == OK or (first is None and len(script) <= RETRIES)


def keys_of(batches: list[list[Job]]) -> set[str]:
    """The keys of all jobs."""
    return {each.key for batch in batches for each in batch}


@dataclass(frozen=True)
class Fleet:
    """Row -> its batches of jobs, and job -> ends of its attempts."""

    batches: dict[str, list[list[Job]]]
    script: dict[str, list[str]]

    @property
    def rows(self) -> list[Row]:
        """The rows."""
        return [row(name, *batches) for name, batches in self.batches.items()]

    @property
    def good(self) -> set[str]:
        """The rows whose jobs all succeed."""
        lost = {key for key, script in self.script.items() if not succeeds(script)}
        return {name for name, batches in self.batches.items() if not lost & keys_of(batches)}


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Rows that first share jobs, then have batches of their own."""
    batches = {}
    for name in (f"row{number}" for number in range(draw(st.integers(1, 8)))):
        shared = draw(st.lists(st.sampled_from("abc"), max_size=2, unique=True))
        sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
        batches[name] = [[job(f"shared/{each}", name)] for each in shared] + [
            [job(f"{name}/{step}/{index}", name) for index in range(size)] for step, size in enumerate(sizes)
        ]
    keys = sorted(set[str]().union(*map(keys_of, batches.values())))
    ends = st.lists(st.sampled_from([OK, OK, GONE, MEMORY, KILLED, ERROR]), max_size=RETRIES + 2)
    return Fleet(batches, {key: draw(ends) for key in keys})


@settings(deadline=None)
@given(fleets(), st.integers(1, 4), st.integers(0, 1000))
def test_every_row_ends_once_as_its_jobs_end(fleet: Fleet, width: int, seed: int) -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, fleet.script, width, seed=seed)
    runner, events = run(fleet.rows, executor, store)
    assert sorted(runner.finished) == sorted(fleet.good)
    assert set(runner.failed) == fleet.batches.keys() - fleet.good
    assert Counter(event.row for event in events if event.kind in ("row", "failed")) == Counter(fleet.batches.keys())
    assert runner.left == 0


@settings(deadline=None)
@given(fleets(), st.integers(1, 4), st.integers(0, 1000))
def test_no_finished_job_runs_again_and_the_queue_has_a_limit(fleet: Fleet, width: int, seed: int) -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, fleet.script, width, seed=seed)
    _, events = run(fleet.rows, executor, store)
    done: set[str] = set()
    for event in events:
        assert event.kind not in ("start", "done") or event.job not in done
        done |= {event.job} if event.kind == "done" else set()
    assert max(running for running, _ in executor.waits) <= 2 * width
    assert all(executor.attempts(key) <= RETRIES + 1 for key in fleet.script)


@settings(deadline=None)
@given(fleets(), st.integers(0, 1000))
def test_a_second_run_skips_finished_rows_and_runs_no_finished_job(fleet: Fleet, seed: int) -> None:
    store = MemoryStore()
    first, events = run(fleet.rows, ScriptedExecutor(store, fleet.script, seed=seed), store)
    done = {event.job for event in events if event.kind == "done"}
    again = ScriptedExecutor(store, seed=seed)
    second, _ = run(fleet.rows, again, store)
    assert sorted(second.skipped + second.finished) == sorted(fleet.batches)
    assert set(first.finished) <= set(second.skipped)
    assert not done & {each.key for each in again.submitted}


@pytest.mark.parametrize("end", [GONE, MEMORY, KILLED])
@pytest.mark.parametrize("times", range(RETRIES + 1))
def test_a_job_that_is_lost_runs_again(end: str, times: int) -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"train/anna": [end] * times})
    runner, events = run([single("anna")], executor, store)
    assert runner.finished == ["anna"]
    assert executor.attempts("train/anna") == times + 1
    assert [event.kind for event in events if event.kind == "retry"] == ["retry"] * times


@pytest.mark.parametrize("end", [GONE, MEMORY, KILLED])
def test_a_job_that_is_lost_too_often_fails_with_its_reason_and_the_attempts(end: str) -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"train/anna": [end] * (RETRIES + 1)})
    runner, _ = run([single("anna"), single("ben")], executor, store)
    assert runner.failed == {"anna": f"train/anna: {end} (3 attempts)"}
    assert runner.finished == ["ben"]
    assert executor.attempts("train/anna") == RETRIES + 1


def test_an_error_of_a_command_is_not_repeated() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"train/anna": [ERROR]})
    runner, _ = run([single("anna"), single("ben")], executor, store)
    assert runner.failed == {"anna": "train/anna: error"}
    assert runner.finished == ["ben"]
    assert executor.attempts("train/anna") == 1


def test_rows_that_cannot_run_fail_with_their_reasons() -> None:
    store = MemoryStore(strange={"train/ben"})
    runner, _ = run([failed_row("anna", "no source"), single("ben"), single("carl")], ScriptedExecutor(store), store)
    assert runner.failed == {
        "anna": "no source",
        "ben": "/store/train/ben: not ours",
    }
    assert runner.finished == ["carl"]


def sweep() -> list[Row]:
    """Two rows that share their first job."""
    return [row(name, [job("capture/anna", "anna")], [job(f"train/{name}", name)]) for name in ("one", "two")]


def test_a_shared_job_runs_once() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store)
    runner, _ = run(sweep(), executor, store)
    assert sorted(runner.finished) == ["one", "two"]
    assert executor.attempts("capture/anna") == 1


@pytest.mark.parametrize("width", [1, 2])
def test_the_failure_of_a_shared_job_fails_its_rows_without_a_second_run(width: int) -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"capture/anna": [ERROR]}, width)
    others = [single(f"other{number}") for number in range(2)]
    first, second = sweep()
    runner, _ = run([first, *others, second], executor, store)
    assert runner.failed == {"one": "capture/anna: error", "two": "capture/anna: error"}
    assert executor.attempts("capture/anna") == 1


@pytest.mark.parametrize(("end", "factor"), [(MEMORY, 2), (KILLED, 2), (GONE, 1)])
def test_the_memory_doubles_where_it_may_have_been_short(end: str, factor: int) -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"train/anna": [end, end]})
    run([single("anna", 100 * MB)], executor, store)
    assert [each.needs.memory // MB for each in executor.submitted] == [100, 100 * factor, 100 * factor**2]


def test_memory_is_learned_from_the_largest_of_three_finished_jobs() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, width=1, used=40 * MB)
    run([single(f"row{number}", 100 * MB) for number in range(8)], executor, store)
    assert [each.needs.memory // MB for each in executor.submitted] == [100] * 4 + [50] * 4


def test_a_changed_row_fails_without_overwrite_and_runs_with_it() -> None:
    store = MemoryStore(records={"train/anna": {"arguments": ["train", "--old"], "inputs": {}}})
    runner, _ = run([single("anna")], ScriptedExecutor(store), store)
    assert runner.failed == {
        "anna": "train/anna: done before with other options; give --overwrite to run changed rows again"
    }
    executor = ScriptedExecutor(store)
    runner, _ = run([single("anna")], executor, store, overwrite=True)
    assert (runner.finished, executor.attempts("train/anna")) == (["anna"], 1)


def test_a_finished_row_is_skipped_and_its_pieces_are_removed() -> None:
    store = MemoryStore()
    run([single("anna")], ScriptedExecutor(store), store)
    executor = ScriptedExecutor(store)
    runner, events = run([single("anna")], executor, store, overwrite=True)
    assert (runner.skipped, runner.finished, executor.submitted) == (["anna"], [], [])
    assert [event.kind for event in events if event.kind != "tick"] == ["skipped"]
    assert store.removed == ["pieces/anna"]


def film(store: MemoryStore) -> Row:
    """A film in pieces of 120 frames."""
    values = {"avatar": "one.avatar", "motion": "take.csv"}
    return render_row(ManifestRow("anna", "", values), FleetSetup("/files", store, Needs()), (), ".mp4", 120)


def test_a_film_is_rendered_in_pieces_then_joined() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"pieces/anna/1": [GONE]}, frames={"pieces/anna/0": 300})
    runner, _ = run([film(store)], executor, store)
    assert runner.finished == ["anna"]
    frames = {each.key: each.frames for each in executor.submitted[:-1]}
    assert frames == {"pieces/anna/0": "0:120", "pieces/anna/1": "120:240", "pieces/anna/2": "240:300"}
    last = executor.submitted[-1]
    assert (last.key, last.pieces) == ("render/anna", ("pieces/anna/0", "pieces/anna/1", "pieces/anna/2"))


def test_a_film_of_one_piece_is_done_with_it() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, frames={"pieces/anna/0": 120})
    runner, _ = run([film(store)], executor, store)
    assert (runner.finished, [each.key for each in executor.submitted]) == (["anna"], ["pieces/anna/0"])
    assert run([film(store)], ScriptedExecutor(store), store)[0].skipped == ["anna"]


def test_finished_pieces_are_not_rendered_again() -> None:
    store = MemoryStore()
    frames = {"pieces/anna/0": 300}
    run([film(store)], ScriptedExecutor(store, {"render/anna": [ERROR]}, frames=frames), store)
    assert sorted(store.records) == ["pieces/anna/0", "pieces/anna/1", "pieces/anna/2"]
    del store.records["pieces/anna/2"]
    executor = ScriptedExecutor(store, frames=frames)
    assert run([film(store)], executor, store)[0].finished == ["anna"]
    assert [each.key for each in executor.submitted] == ["pieces/anna/2", "render/anna"]


def test_a_job_with_an_input_is_compared_by_its_label() -> None:
    store = MemoryStore()
    entry = row("anna", [replace(job("train/anna", "anna"), arguments=("train", Input("/a/x", "x"), Output("y")))])
    run([entry], ScriptedExecutor(store), store)
    assert store.records["train/anna"]["arguments"] == ["train", "x", "y"]
    assert run([entry], ScriptedExecutor(store), store)[0].skipped == ["anna"]


def test_a_job_with_more_memory_leaves_no_worker_without_a_job() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, {"train/row0": [MEMORY, MEMORY]}, width=8, memory=16 * MB)
    run([single(f"row{number}", 2 * MB if number else 4 * MB) for number in range(60)], executor, store)
    assert max(each.needs.memory for each in executor.submitted) == 16 * MB  # one at a time
    assert min(running for running, submitted in executor.waits if submitted < 60) >= 8


def test_the_queue_is_as_long_as_the_learned_memory_allows() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, width=8, memory=16 * MB, used=MB)
    run([single(f"row{number}", 8 * MB) for number in range(60)], executor, store)
    assert executor.waits[0][0] == 4
    assert max(running for running, _ in executor.waits) == 16


def test_the_executor_is_asked_for_its_slots_once_before_each_wait() -> None:
    store = MemoryStore()
    executor = ScriptedExecutor(store, width=8)
    run([single(f"row{number}") for number in range(60)], executor, store)
    assert executor.questions <= len(executor.waits)


def test_the_other_jobs_of_a_failed_row_do_not_run_again() -> None:
    dropped = 0
    for seed in range(20):
        store = MemoryStore()
        pieces = [job(f"pieces/anna/{number}", "anna") for number in range(12)]
        script = {each.key: [GONE] for each in pieces} | {pieces[0].key: [ERROR]}
        executor = ScriptedExecutor(store, script, seed=seed)
        runner, events = run([row("anna", pieces), *(single(f"row{n}") for n in range(8))], executor, store)
        assert runner.failed == {"anna": "pieces/anna/0: error"}
        assert len(runner.finished) == 8
        kinds = [event.kind for event in events if event.row == "anna"]
        after = kinds[kinds.index("failed") + 1 :]
        assert set(after) <= {"done", "dropped"}
        dropped += after.count("dropped")
    assert dropped
