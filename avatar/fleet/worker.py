"""What a worker does with one job: fetch its inputs, run its command, store its outputs with their record."""

from __future__ import annotations

import platform
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from avatar import __version__
from avatar.common.files import error_words, os_error_sentence
from avatar.common.temporaries import remove_orphans, temporary_path
from avatar.errors import HeadsplatError
from avatar.fleet.cores import shared_folder
from avatar.fleet.film_pieces import frames_of, join_pieces
from avatar.fleet.inputs import fetch, state_of
from avatar.fleet.jobs import Input, Job, Outcome, Output
from avatar.fleet.process import Ended, run_command
from avatar.fleet.store import Store, sha256_of

_JOB = "job"  # of folders for the files of a job


def perform(job: Job, store_url: str, version: str, probe: str) -> Outcome:
    """Run a job on this machine.

    Args:
        job: the job.
        store_url: path or URL of the store.
        version: of headsplat on the machine that started the fleet.
        probe: name of a file in the store that this machine must see.

    Returns:
        Its outcome; never raises: what went wrong is its sentence.
    """
    start = time.monotonic()
    node = platform.node()
    store = Store(store_url)
    try:
        _check_machine(store, version, probe, node)
        with _scratch() as folder:
            outcome = _run(job, store, folder, start)
    except HeadsplatError as error:
        outcome = Outcome(job.key, str(error))
    except OSError as error:
        outcome = Outcome(job.key, os_error_sentence(error), retry=True)
    except Exception as error:  # of the libraries of object stores: network, credentials, quotas
        outcome = Outcome(job.key, f"{job.key}: {type(error).__name__}: {error_words(error)}", retry=True)
    fields = {"node": node, "seconds": time.monotonic() - start}
    return Outcome(**{**vars(outcome), **fields})


def _check_machine(store: Store, version: str, probe: str, node: str) -> None:
    """Raise HeadsplatError for a machine with another headsplat, or one that does not see the store."""
    if version != __version__:
        raise HeadsplatError(
            f"{node}: has headsplat {__version__}, this command is of {version}; install the same version on every "
            "machine of the cluster"
        )
    if store.folder is not None and not (store.folder / probe).exists():
        raise HeadsplatError(
            f"{store.folder}: the machine {node} does not see this folder; give -o a folder that all machines of the "
            "cluster share, or a URL such as s3://bucket/folder"
        )


def remove_scratch() -> None:
    """Remove what killed workers have left on this machine."""
    remove_orphans(shared_folder() / _JOB)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for one job on a disk of this machine; those of killed workers are removed first."""
    remove_scratch()
    folder = temporary_path(shared_folder() / _JOB)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(job: Job, store: Store, folder: Path, start: float) -> Outcome:
    out = folder / "out"
    out.mkdir()
    read = {each.label: each for each in job.inputs}
    states = {label: state_of(each.url) for label, each in read.items()}
    places = {label: fetch(each, folder / "in", index) for index, (label, each) in enumerate(read.items())}
    inputs = {
        label: {"state": states[label], "sha256": each.sha256 or sha256_of(places[label])}
        for label, each in read.items()
    }
    if job.pieces:
        ended = join_pieces(job, store, folder)
    else:
        arguments = _command(job, places, out)
        ended = run_command(arguments, job.needs, folder / "log.txt", folder, job.time_limit)
    if ended.code:
        return _failure(job, ended, {str(out): job.key} | {str(place): label for label, place in places.items()})
    frames = frames_of(out) if job.frames else None
    whole = job.whole if frames is not None and frames.whole == frames.count else None
    count = None if frames is None else frames.whole
    record = _record(whole or job, inputs, ended) | {"frames": count, "seconds": round(time.monotonic() - start, 3)}
    store.publish((whole or job).key, out, record)
    if job.pieces:
        store.remove(str(PurePosixPath(job.pieces[0]).parent))
    return Outcome(
        job.key,
        None,
        cpu_seconds=ended.cpu_seconds,
        memory=ended.memory,
        log=ended.log,
        frames=count,
        whole=whole is not None,
    )


def _record(job: Job, inputs: Mapping[str, Any], ended: Ended) -> dict[str, Any]:
    return {
        "headsplat": __version__,
        "row": job.row,
        "arguments": job.command_line,
        "inputs": inputs,
        "cpu_seconds": round(ended.cpu_seconds, 3),
        "memory": ended.memory,
        "cores": job.needs.cores,
    }


def _command(job: Job, places: Mapping[str, Path], out: Path) -> list[str]:
    """The arguments with paths of this machine; copied inputs move to the outputs, the command writes into them."""
    arguments = []
    for each in job.arguments:
        if isinstance(each, Output):
            arguments.append(str(out / each.name))
        elif isinstance(each, Input) and each.copied:
            place = out / places[each.label].name
            if place.exists():
                raise HeadsplatError(f"{each.label}: another input of this row is called {place.name}, too; rename it")
            arguments.append(str(shutil.move(places[each.label], place)))
        else:
            arguments.append(str(places[each.label]) if isinstance(each, Input) else each)
    return arguments


def _failure(job: Job, ended: Ended, names: Mapping[str, str]) -> Outcome:
    """The outcome of a command that failed; in its sentence `names` replace the paths of this machine."""
    killed = ended.code < 0 and not ended.timed_out
    if ended.timed_out:
        sentence = f"{job.key}: not done after {job.time_limit:g} s, the time limit; raise it with --time-limit"
    elif killed:
        name = signal.Signals(-ended.code).name
        reason = "often for lack of memory" if name == "SIGKILL" else "a crash"
        sentence = f"{job.key}: its process was ended by {name} ({reason})"
    else:
        sentence = ended.sentence
    for path in sorted(names, key=len, reverse=True):
        sentence = sentence.replace(path, names[path])
    return Outcome(
        job.key,
        sentence,
        retry=killed,
        no_memory=killed and -ended.code == signal.SIGKILL,
        cpu_seconds=ended.cpu_seconds,
        memory=ended.memory,
        log=ended.log,
    )
