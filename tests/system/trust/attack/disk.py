"""Every writing command on a full disk: limits of the size of files, and small file systems where one may mount."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.system.trust.attack import guard
from tests.system.trust.attack.cases import ACCEPTED, LOST, MESSAGE, SKIPPED, WRONG, Case, Outcome, judge_message
from tests.system.trust.attack.forked import Ended, run_forked
from tests.system.trust.attack.jobs import (
    JOBS,
    Job,
    Reference,
    chdir,
    digest,
    message_of,
    prepare,
    put_old,
    reference,
    whole,
)
from tests.system.trust.attack.kills import _fault_of_end
from tests.system.trust.attack.scene import Scene, changed, hashes

#: Limits, as a fraction of the largest file and of all files of the undisturbed run.
_FRACTIONS = (0.0, 0.3, 0.95)
_PAGE = 4096
#: What the same command continues.
_CONTINUED = {".new.capture.new.partial"}


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for job in JOBS.values():
        for kind in ("file size limit", "disk"):
            for part in _FRACTIONS:
                label = f"{job.name}: {kind} of {part:.0%}"
                found.append(Case(label, _run(scene, job, kind, part, False)))
                found.append(Case(f"{label} over an old output", _run(scene, job, kind, part, True)))
    return found


def _run(scene: Scene, job: Job, kind: str, part: float, old: bool) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        if kind == "disk" and not guard.may_mount():
            return Outcome(SKIPPED, "this user may not mount")
        known = reference(scene, job.name, os.getpid())
        prepare(scene, folder)
        if kind == "disk":
            kept = sum(known.sizes) if old else 0
            pages = len(known.sizes) * 2 * _PAGE if old else 0
            guard.mount_small(folder / "out", max(_PAGE * 4, kept + pages + round(part * sum(known.sizes))))
        try:
            return _judged(job, known, folder, kind, part, old)
        finally:
            if kind == "disk":
                guard.unmount(folder / "out")

    return run


def _judged(job: Job, known: Reference, folder: Path, kind: str, part: float, old: bool) -> Outcome:
    if old:
        put_old(job, known, folder)
    inputs, flags = hashes(folder / "in"), ("--overwrite",) if old and job.arguments else ()
    before = {path.name: digest(path) for path in (folder / "out").iterdir()}
    setup: list[Callable[[], None]] = [chdir(folder)]
    if kind != "disk":
        setup.append(partial(_limit_files, round(part * known.sizes[-1])))
    ended = run_forked(partial(job.run, folder, *flags), setup=setup)
    if (fault := _fault_of_end(ended)) is not None:
        return fault
    lost = changed(folder / "in", inputs)
    if lost is not None:
        return Outcome(LOST, f"in/{lost}")
    return _judge_outputs(job, known, folder, ended, before)


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _judge_outputs(job: Job, known: Reference, folder: Path, ended: Ended, before: dict[str, str]) -> Outcome:
    for name in job.outputs:
        path = folder / "out" / name
        unfinished = job.name == "capture" and not (path / "capture.json").exists()
        if name in before and path.exists() and digest(path) == before[name]:
            if ended.code == 0 and not job.arguments:
                continue
        elif not path.exists():
            if ended.code == 0 or name in before:
                return Outcome(LOST if name in before else WRONG, f"{name} is not there, exit code {ended.code}")
        elif not (unfinished and ended.code) and (fault := whole(path, known.folder / "out" / name)) is not None:
            return Outcome(LOST if name in before else WRONG, f"{name}, exit code {ended.code}: {fault}")
    left = {path.name for path in (folder / "out").iterdir()} - known.names - before.keys()
    left -= _CONTINUED
    unnamed = sorted(name for name in left if name not in ended.text)
    if unnamed:
        return Outcome(LOST, f"left behind and not named: {', '.join(unnamed)}")
    if ended.code == 0:
        return Outcome(ACCEPTED)
    if job.arguments:
        return judge_message(message_of(ended).removeprefix("headsplat: "), (str(folder),))
    return Outcome("refused") if ended.text.strip() else Outcome(MESSAGE, "nothing is said")
