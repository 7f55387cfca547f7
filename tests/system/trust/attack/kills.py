"""Every writing command is killed or asked to end at chosen moments, and then run again to its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.system.trust.attack.cases import ACCEPTED, CRASH, EXCEPTION, HANG, INTERNAL, LOST, REFUSED, Case, Outcome
from tests.system.trust.attack.forked import Ended, run_forked, signal_at
from tests.system.trust.attack.jobs import (
    JOBS,
    Job,
    Reference,
    broken_output,
    chdir,
    digest,
    message_of,
    names_in,
    prepare,
    put_old,
    reference,
    whole,
)
from tests.system.trust.attack.scene import Scene, changed, hashes

_SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
#: Moments: as a fraction of the file operations of the command, and of its time.
_BY_FILE = {"SIGKILL": (0.0, 0.3, 0.6, 0.9, 1.0)}
_BY_TIME = {"SIGKILL": (0.3, 0.8)}
_OTHERS_BY_FILE, _OTHERS_BY_TIME = (0.9,), (0.4,)
_HIDDEN = "."
Moment = tuple[str, float]


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for job in JOBS.values():
        for name in _SIGNALS:
            moments: list[Moment] = [("file", part) for part in _BY_FILE.get(name, _OTHERS_BY_FILE)]
            moments += [("time", part) for part in _BY_TIME.get(name, _OTHERS_BY_TIME)]
            for number, (kind, part) in enumerate(moments):
                old = bool(number % 2)
                label = f"{job.name}: {name} at {part:.0%} of its {kind}{' over an old output' if old else ''}"
                found.append(Case(label, _run(scene, job, name, (kind, part), old)))
    return found


def _run(scene: Scene, job: Job, name: str, moment: Moment, old: bool) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        known = reference(scene, job.name, os.getpid())
        prepare(scene, folder)
        if old:
            put_old(job, known, folder)
        before, inputs = _digests(job, folder), hashes(folder / "in")
        flags = ("--overwrite",) if old and job.arguments else ()
        ended = _signalled(job, known, folder, flags, _SIGNALS[name], moment)
        fault = _fault_of_end(ended) or _fault_of_outputs(job, known, folder, before)
        lost = changed(folder / "in", inputs)
        if fault is None and lost is not None:
            fault = Outcome(LOST, f"in/{lost}")
        return fault or _run_again(job, known, folder, flags)

    return run


def _digests(job: Job, folder: Path) -> dict[str, str]:
    return {name: digest(folder / "out" / name) for name in job.outputs if (folder / "out" / name).exists()}


def _signalled(job: Job, known: Reference, folder: Path, flags: tuple[str, ...], number: int, moment: Moment) -> Ended:
    kind, part = moment
    setup, after = [chdir(folder), _default_signals], None
    if kind == "file":
        setup.append(signal_at(max(1, round(part * known.changes)), number, folder / "out"))
    else:
        after = part * known.seconds
    return run_forked(partial(job.run, folder, *flags), setup=setup, kill=number, after=after)


def _default_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _fault_of_end(ended: Ended) -> Outcome | None:
    """A hang, a crash by another signal, or a traceback."""
    if ended.hung:
        return Outcome(HANG, message_of(ended))
    if ended.code < 0 and -ended.code not in _SIGNALS.values():
        return Outcome(CRASH, signal.Signals(-ended.code).name)
    if "internal error" in ended.text:
        return Outcome(INTERNAL, message_of(ended))
    if "Traceback (most" in ended.text or "Exception ignored" in ended.text:
        return Outcome(EXCEPTION, f"a traceback is printed: {ended.text[-2000:]!r}")
    return None


def _fault_of_outputs(job: Job, known: Reference, folder: Path, before: dict[str, str]) -> Outcome | None:
    """An output that is neither the old one nor whole, or that is gone."""
    for name in job.outputs:
        path = folder / "out" / name
        if not path.exists():
            if name in before and not _is_kept(folder, before[name]):
                return Outcome(LOST, f"{name} is gone, and nothing is in its place")
            continue
        if name in before and digest(path) == before[name]:
            continue
        if job.name == "capture" and not (path / "capture.json").exists():
            continue  # unfinished: it is continued
        fault = whole(path, known.folder / "out" / name)
        if fault is not None:
            return Outcome(LOST, f"{name}: {fault}")
    return None


def _is_kept(folder: Path, wanted: str) -> bool:
    """Whether the old output is still there under a temporary name."""
    return any(digest(path) == wanted for path in (folder / "out").iterdir() if path.name.startswith(_HIDDEN))


def _run_again(job: Job, known: Reference, folder: Path, flags: tuple[str, ...]) -> Outcome:
    """The same command again, with the flags that its message names, must end well and leave nothing else."""
    ended = _again(job, folder, flags)
    for flag in ("--resume", "--overwrite"):
        if ended.code == 1 and flag in message_of(ended) and flag not in flags:
            flags = (*flags, flag)
            ended = _again(job, folder, flags)
    if (fault := _fault_of_end(ended)) is not None:
        return fault
    if ended.code:
        return Outcome(LOST, f"the same command does not run again: {message_of(ended)}")
    if (broken := broken_output(job, folder, known)) is not None:
        return Outcome(LOST, f"second run, {broken}")
    left = {name for name in names_in(folder) - known.names if job.kept not in name}
    if left:
        return Outcome(LOST, f"left behind after the second run: {', '.join(sorted(left))}")
    return Outcome(REFUSED if flags[1:] else ACCEPTED, " ".join(flags))


def _again(job: Job, folder: Path, flags: tuple[str, ...]) -> Ended:
    return run_forked(partial(job.run, folder, *flags), setup=[chdir(folder)])
