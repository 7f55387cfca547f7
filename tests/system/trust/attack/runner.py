"""Cases in forked worker processes with a time limit: a crash or a hang costs one case and a new worker."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.system.trust.attack.cases import CRASH, EXCEPTION, HANG, Case, Outcome, Result, described

#: Memory that a worker may use beyond that of this process, bytes.
_MEMORY = 6 << 30


@dataclass
class Worker:
    """A forked process that runs cases one after another."""

    process: int
    connection: Connection
    log: Path
    case: int | None = None
    name: str = ""  # of the step that runs
    began: float = field(default_factory=time.monotonic)


def run_cases(
    attack: str,
    cases: Sequence[Case],
    folder: Path,
    report: Callable[[Result], None],
    *,
    jobs: int,
    limit: float,
    prepare: Callable[[], None],
) -> None:
    """Run the cases of a class and report each result.

    Args:
        attack: name of the class.
        cases: its cases.
        folder: for the folders of the cases.
        report: called with each result.
        jobs: number of worker processes.
        limit: seconds that one case may take.
        prepare: called in each new worker.
    """
    pending, workers, made = deque(range(len(cases))), list[Worker](), 0
    try:
        while pending or any(worker.case is not None for worker in workers):
            while len(workers) < min(jobs, len(pending) + sum(worker.case is not None for worker in workers)):
                made += 1
                workers.append(_start(cases, folder / f"{attack}{made}", prepare))
            for worker in workers:
                if worker.case is None and pending:
                    worker.case, worker.began = pending.popleft(), time.monotonic()
                    worker.name = cases[worker.case].name
                    worker.connection.send(worker.case)
            ready = wait([worker.connection for worker in workers], timeout=0.2)
            for worker in list(workers):
                outcome = _receive(worker, attack, report) if worker.connection in ready else None
                if outcome is None and worker.case is not None and time.monotonic() - worker.began > limit:
                    outcome = Outcome(HANG, f"more than {limit:.0f} s; {_where(worker)}")
                if outcome is not None:
                    report(Result(attack, worker.name, outcome, time.monotonic() - worker.began))
                    _end(worker)
                    workers.remove(worker)
    finally:
        for worker in workers:
            _end(worker)


def _receive(worker: Worker, attack: str, report: Callable[[Result], None]) -> Outcome | None:
    """Handle a message of a worker; returns an outcome where the worker has died."""
    try:
        kind, *content = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        _, status = os.waitpid(worker.process, 0)
        code = os.waitstatus_to_exitcode(status)
        worker.process = 0
        word = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Outcome(CRASH, f"{word}; {_where(worker)}")
    if kind == "begin":
        worker.name, worker.began = content[0], time.monotonic()
    elif kind == "end":
        report(Result(attack, worker.name, content[0], time.monotonic() - worker.began))
    else:
        worker.case = None
    return None


def _where(worker: Worker) -> str:
    """The innermost frames in the last traceback that faulthandler wrote to the worker's log."""
    if worker.process:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.process, signal.SIGUSR1)
            time.sleep(0.3)
    text = worker.log.read_text(encoding="utf-8", errors="replace")[-20000:]
    frames = re.findall(r'File "([^"]+)", line (\d+) in (\w+)', text.rpartition("Current thread")[2])
    return " < ".join(f"{Path(file).name}:{line} {function}" for file, line, function in frames[:3]) or text[-200:]


def _end(worker: Worker) -> None:
    if worker.process:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.process, 0)
    worker.connection.close()


def _start(cases: Sequence[Case], folder: Path, prepare: Callable[[], None]) -> Worker:
    ours, theirs = Pipe()
    folder.mkdir(parents=True)
    log = folder / "log"
    log.touch()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if not process:
        ours.close()
        try:
            _serve(cases, folder, theirs, prepare)
        finally:
            os._exit(0)
    theirs.close()
    with contextlib.suppress(OSError):
        os.setpgid(process, process)
    return Worker(process, ours, log)


def _serve(cases: Sequence[Case], folder: Path, connection: Connection, prepare: Callable[[], None]) -> None:
    """Run the cases whose numbers arrive, each in an empty folder."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    output = os.open(folder / "log", os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.fdopen(output, "w")
    faulthandler.enable(log)
    faulthandler.register(signal.SIGUSR1, log)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = folder / "case"
    prepare()
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        os.chdir(place)
        for message in _messages(cases[number], place):
            connection.send(message)


def _messages(case: Case, place: Path) -> Iterator[tuple[object, ...]]:
    try:
        for name, run in case.steps(place):
            yield "begin", name
            try:
                outcome = run()
            except BaseException as error:  # also SystemExit and KeyboardInterrupt that leave the library
                outcome = Outcome(EXCEPTION, described(error))
            yield "end", outcome
    except Exception as error:
        yield "begin", case.name
        yield "end", Outcome(EXCEPTION, f"the case itself: {described(error)}")
    yield ("done",)
