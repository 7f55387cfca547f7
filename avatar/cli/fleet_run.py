"""Running the rows of a fleet: the manifest and the store checked, the jobs on Ray, progress, metrics, tables."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from avatar.cli.exit_codes import DONE, FAILED
from avatar.cli.fleet_display import FleetDisplay, summary
from avatar.cli.progress import say, show
from avatar.common.files import check_name, error_words, write_error
from avatar.common.locks import locked
from avatar.common.printable import single_line
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import DURATION, OptionalFloat, OptionalInt, OptionalPath

if TYPE_CHECKING:
    from avatar.fleet.jobs import Needs
    from avatar.fleet.manifest import ManifestRow
    from avatar.fleet.rows import FleetSetup, Row
    from avatar.fleet.scores import Table
    from avatar.fleet.store import Store

#: A file in the store that every machine must see.
PROBE = "fleet.txt"
_PROBE_TEXT = "headsplat fleet writes its results here.\n"
_TITLES = {"train": "training", "render": "rendering", "eval": "evaluating", "sweep": "comparing settings"}


@dataclass(frozen=True)
class ClusterOptions:
    """where the jobs run"""

    address: Annotated[str | None, arg(metavar="ADDRESS")] = None
    """a running Ray cluster: auto, HOST:PORT or ray://HOST:PORT; default: Ray is started on this machine"""
    cores: Annotated[OptionalInt, Between(1, 1024)] = None
    """cores of this machine for the jobs; default: all"""
    row_cores: Annotated[int, Between(1, 256)] = 1
    """cores of each job; with one, a machine does the most work"""
    gpus: Annotated[float, Between(0, 64)] = 0.0
    """GPUs of each job; a fraction lets several jobs share one"""
    memory: Annotated[OptionalFloat, Between(0.1, 4096)] = None
    """GB of memory of each job; default: what such jobs needed where they were measured, then what this fleet's own
    jobs need"""
    time_limit: Annotated[OptionalFloat, DURATION] = None
    """seconds after which a job is ended and its row fails"""
    retries: Annotated[int, Between(0, 100)] = 2
    """further attempts of a job whose process, worker or machine was killed"""
    metrics: OptionalPath = None
    """file to which every event is appended as a JSON line; default: fleet.jsonl in the output folder"""
    overwrite: bool = False
    """run rows again that are done, if their options or inputs have changed since"""

    def needs(self, command: str) -> Needs:
        """What a job of a command occupies."""
        from avatar.fleet.jobs import Needs
        from avatar.fleet.memory import expected_memory

        memory = expected_memory(command) if self.memory is None else int(self.memory * 1e9)
        return Needs(self.row_cores, self.gpus, memory)


@contextlib.contextmanager
def prepared(
    manifest: str, out: str, options: ClusterOptions, command: str
) -> Iterator[tuple[list[ManifestRow], FleetSetup]]:
    """The rows of a manifest, and the store at `out`, which no other fleet on this machine uses meanwhile.

    Raises:
        HeadsplatError: Ray is missing, the manifest has a fault, or the store cannot be written.
    """
    from avatar.cli.fleet_options import check_columns
    from avatar.fleet.manifest import read_manifest
    from avatar.fleet.ray_cluster import check_installed
    from avatar.fleet.rows import FleetSetup
    from avatar.fleet.store import Store, is_url, local_path

    check_installed()
    if not is_url(out):
        check_name(Path(local_path(out)))
    rows = read_manifest(manifest)
    check_columns(rows, manifest)
    base = manifest.rpartition("/")[0] if is_url(manifest) else str(Path(local_path(manifest)).absolute().parent)
    store = Store(out if is_url(out) else str(Path(local_path(out)).absolute()))  # workers start in other folders
    with contextlib.ExitStack() as held:
        if store.folder is not None:
            try:
                store.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_error(store.folder, error) from error
            held.enter_context(locked(store.folder))
        _write_probe(store)
        yield rows, FleetSetup(base, store, options.needs(command), options.time_limit)


def _write_probe(store: Store) -> None:
    """Write the file that every machine must see; raises HeadsplatError if the store refuses it."""
    try:
        store.write_text(PROBE, _PROBE_TEXT)
    except HeadsplatError:
        raise
    except Exception as error:  # of the libraries of object stores: network, credentials, no such bucket
        reason = f"{type(error).__name__}: {single_line(error_words(error))[:200]}"
        raise HeadsplatError(
            f"{store.url}: cannot be written ({reason}); check its name and your access to it"
        ) from error


def planned(rows: Sequence[ManifestRow], command: str, setup: FleetSetup, plan: Callable[..., Row]) -> list[Row]:
    """The rows of `plan(row, setup, arguments)`; one with a bad option fails alone."""
    from avatar.cli.fleet_options import row_arguments
    from avatar.fleet.rows import failed_row

    found = []
    for row in rows:
        try:
            found.append(plan(row, setup, row_arguments(command, row, setup)))
        except HeadsplatError as error:
            found.append(failed_row(row.name, str(error)))
    return found


def run_rows(rows: Sequence[Row], setup: FleetSetup, options: ClusterOptions, command: str) -> Mapping[str, str]:
    """Run rows on Ray, with progress and metrics; writes and returns the rows that failed and why."""
    from avatar.fleet.metrics import MetricsFile, failure_table
    from avatar.fleet.ray_cluster import RayCluster
    from avatar.fleet.runner import Event, Runner
    from avatar.fleet.worker import remove_scratch

    metrics = options.metrics
    start = time.monotonic()
    if metrics is None and setup.store.folder is not None:
        metrics = setup.store.folder / "fleet.jsonl"
    with contextlib.ExitStack() as stack:
        stack.callback(remove_scratch)
        file = None if metrics is None else stack.enter_context(MetricsFile(metrics))
        cluster = stack.enter_context(RayCluster(setup.store.url, PROBE, options.address, options.cores))
        cluster.check(setup.needs)
        display = stack.enter_context(FleetDisplay(_TITLES[command], len(rows)))

        def report(event: Event) -> None:
            if file is not None and event.kind != "tick":
                file.write(event)
            display.show(event)

        runner = Runner(rows, setup.store, cluster, options.retries, options.overwrite, report)
        display.runner = runner
        runner.run()
    setup.store.remove_empty("pieces")
    table = f"{command}.failed.csv"
    setup.store.write_text(table, failure_table(runner.failed))
    _show_failures(runner.failed)
    where = f"; {setup.store.path(table)} has their reasons" if runner.failed else ""
    say(summary(runner, time.monotonic() - start) + where)
    return runner.failed


def exit_code(failed: Mapping[str, str]) -> int:
    """The exit code after these rows failed."""
    return FAILED if failed else DONE


def write_table(table: Table, setup: FleetSetup, name: str) -> None:
    """Write a table to the store, as CSV and as Markdown, and print it."""
    if not table.lines:
        return
    setup.store.write_text(f"{name}.csv", table.to_csv())
    setup.store.write_text(f"{name}.md", table.to_markdown() + "\n")
    show(table.to_markdown())


def _show_failures(failed: dict[str, str]) -> None:
    if not failed:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    shown: Any = RichTable("row", "why it failed", box=None, pad_edge=False)
    for name, reason in sorted(failed.items()):
        shown.add_row(escape(single_line(name)), escape(single_line(reason)))
    Console(stderr=True).print(shown)
