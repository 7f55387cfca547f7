"""Closed pipes and odd environments: the work is done all the same, or refused with a sentence."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.system.trust.attack import guard
from tests.system.trust.attack.cases import (
    ACCEPTED,
    CRASH,
    EXCEPTION,
    HANG,
    INTERNAL,
    LOST,
    ROOT,
    SKIPPED,
    WRONG,
    Case,
    Outcome,
    judge_message,
)
from tests.system.trust.attack.forked import run_forked
from tests.system.trust.attack.jobs import JOBS, Job, broken_output, chdir, message_of, prepare, reference, whole
from tests.system.trust.attack.kills import _fault_of_end
from tests.system.trust.attack.scene import Scene, changed, hashes

_LIMIT = 120.0  # seconds of a process of its own
_NAMES = {1: "stdout", 2: "stderr"}


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    jobs = [job for job in JOBS.values() if job.arguments]
    found = [Case(f"{job.name}: {name}", _run(scene, job, setup)) for job in jobs for name, setup in _SETUPS.items()]
    found += [Case(f"{job.name}: read-only folder", _read_only(scene, job)) for job in jobs]
    found += [Case(f"{job.name}: umask 077", _umask(scene, job)) for job in jobs]
    return found + [Case(f"process: {name}", _process(scene, *spec)) for name, spec in _PROCESSES.items()]


def _close(*streams: int) -> None:
    for stream in streams:
        os.close(stream)
        setattr(sys, _NAMES[stream], None)


def _to(path: str, *streams: int) -> None:
    target = os.open(path, os.O_WRONLY)
    for stream in streams:
        os.dup2(target, stream)
        setattr(sys, _NAMES[stream], os.fdopen(stream, "w", 1, closefd=False))


def _to_closed_pipe(*streams: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for stream in streams:
        os.dup2(writing, stream)
        setattr(sys, _NAMES[stream], os.fdopen(stream, "w", 1, closefd=False))


def _ascii() -> None:
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(each, "w", closefd=False), "ascii", "strict") for each in (1, 2)
    )


def _environment(**values: str | None) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


_SETUPS: dict[str, Callable[[], None]] = {
    "stdout closed": partial(_close, 1),
    "stderr closed": partial(_close, 2),
    "both closed": partial(_close, 1, 2),
    "stdout full": partial(_to, "/dev/full", 1),
    "stderr full": partial(_to, "/dev/full", 2),
    "both full": partial(_to, "/dev/full", 1, 2),
    "reader of stdout gone": partial(_to_closed_pipe, 1),
    "reader of stderr gone": partial(_to_closed_pipe, 2),
    "readers gone": partial(_to_closed_pipe, 1, 2),
    "ASCII streams": _ascii,
    "one column": partial(_environment, COLUMNS="1", TERM="dumb"),
    "no home": partial(_environment, HOME=None, XDG_CACHE_HOME=None, HEADSPLAT_CACHE=None, USER=None),
    "home missing": partial(_environment, HOME="/nowhere/home", HEADSPLAT_CACHE=None),
    "cache unwritable": partial(_environment, HEADSPLAT_CACHE="/proc/nowhere"),
    "no temporary folder": partial(_environment, TMPDIR="/nowhere"),
    "strange locale": partial(_environment, LANG="xx_XX.nothing", LC_ALL="C"),
}


def _run(scene: Scene, job: Job, setup: Callable[[], None]) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        known = reference(scene, job.name, os.getpid())
        prepare(scene, folder)
        before = hashes(folder / "in")
        ended = run_forked(partial(job.run, folder), setup=[chdir(folder), setup])
        if (fault := _fault_of_end(ended)) is not None:
            return fault
        if (lost := changed(folder / "in", before)) is not None:
            return Outcome(LOST, f"in/{lost}")
        if (broken := broken_output(job, folder, known)) is not None:
            return Outcome(WRONG, f"exit code {ended.code}, {broken}")
        return Outcome(ACCEPTED)

    return run


def _read_only(scene: Scene, job: Job) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        prepare(scene, folder)
        if guard.may_mount():
            guard.mount_read_only(folder / "out")
        elif os.geteuid() == 0:
            return Outcome(SKIPPED, "this user may write everywhere")
        else:
            (folder / "out").chmod(0o555)
        try:
            ended = run_forked(partial(job.run, folder), setup=[chdir(folder)])
        finally:
            if guard.may_mount():
                guard.unmount(folder / "out")
            (folder / "out").chmod(0o755)
        if (fault := _fault_of_end(ended)) is not None:
            return fault
        if ended.code == 0:
            return Outcome(WRONG, "exit code 0, and nothing can have been written")
        return judge_message(message_of(ended).removeprefix("headsplat: "), (str(folder),))

    return run


def _umask(scene: Scene, job: Job) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        prepare(scene, folder)
        ended = run_forked(partial(job.run, folder), setup=[chdir(folder), lambda: os.umask(0o077) and None])
        if (fault := _fault_of_end(ended)) is not None:
            return fault
        open_ones = [path for path in (folder / "out").rglob("*") if path.stat().st_mode & 0o077]
        if ended.code or open_ones:
            found = f"others may read {open_ones[0].name}" if open_ones else message_of(ended)
            return Outcome(WRONG, found)
        return Outcome(ACCEPTED)

    return run


_TRAIN, _RENDER = JOBS["train"], JOBS["render mp4"]
#: Processes of their own: shell text around the command "$@", variables, and the job; None: --help of every command.
_PROCESSES: dict[str, tuple[str, dict[str, str], Job | None]] = {
    "train 2>&1 | head -1": ('"$@" 2>&1 | head -1', {}, _TRAIN),
    "train | true": ('"$@" | true', {}, _TRAIN),
    "train 2>/dev/full": ('"$@" 2>/dev/full', {}, _TRAIN),
    "train >&- 2>&-": ('"$@" >&- 2>&-', {}, _TRAIN),
    "train in ASCII": ('"$@"', {"PYTHONIOENCODING": "ascii"}, _TRAIN),
    "render in the C locale": ('"$@"', {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, _RENDER),
    "render >/dev/full": ('"$@" >/dev/full', {}, _RENDER),
    "render 2>&1 | head -1": ('"$@" 2>&1 | head -1', {}, _RENDER),
    "help in one column": ('"$@"', {"COLUMNS": "1"}, None),
    "help on a dumb terminal | head -1": ('"$@" | head -1', {"TERM": "dumb"}, None),
    "help in ASCII": ('"$@"', {"PYTHONIOENCODING": "ascii"}, None),
}


def _process(scene: Scene, shell: str, variables: dict[str, str], job: Job | None) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        prepare(scene, folder)
        arguments = ("render", "--help") if job is None else job.arguments
        command = ["sh", "-c", shell, "sh", sys.executable, "-m", "avatar.cli", *arguments]
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, timeout=_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(HANG, f"more than {_LIMIT:.0f} s")
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        if done.returncode < 0 or done.returncode > 128:
            return Outcome(CRASH, f"exit code {done.returncode}")
        if "internal error" in text:
            return Outcome(INTERNAL, text[-300:])
        if "Traceback (most" in text or "Exception ignored" in text:
            return Outcome(EXCEPTION, f"a traceback is printed: {text[-300:]!r}")
        for name in () if job is None else job.outputs:
            path = folder / "out" / name
            fault = whole(path, path) if path.exists() else "missing"
            if fault is not None:
                return Outcome(WRONG, f"{name}: {fault}")
        return Outcome(ACCEPTED)

    return run
