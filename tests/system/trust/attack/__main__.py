"""`python -m tests.system.trust.attack`: run the attack, print its table; the exit code is 1 where anything failed."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from tests.system.trust.attack import (
    avatars,
    captures,
    disk,
    environment,
    exports,
    files,
    foreign,
    guard,
    guided,
    kills,
    media,
    motions,
    options,
    packets,
)
from tests.system.trust.attack.cases import Case, Result
from tests.system.trust.attack.runner import run_cases
from tests.system.trust.attack.scene import Scene, make_scene
from tests.system.trust.attack.table import as_markdown, as_text, rows_of, write_markdown


@dataclass(frozen=True)
class Attack:
    """A class of attack."""

    cases: Callable[[Scene], list[Case]]
    limit: float = 90.0  # seconds of one case
    short: int = 0  # cases of the short run
    forks: bool = False  # its cases fork, so that the worker itself must not start threads


ATTACKS = {
    "avatars": Attack(avatars.cases, short=25),
    "captures": Attack(captures.cases, short=15),
    "motions": Attack(motions.cases, short=50),
    "files": Attack(files.cases, short=40),
    "media": Attack(media.cases, limit=60.0, short=25),
    "packets": Attack(packets.cases, short=60),
    "foreign": Attack(foreign.cases, short=80),
    "options": Attack(options.cases, short=45),
    "exports": Attack(exports.cases, short=25),
    "kills": Attack(kills.cases, limit=300.0, forks=True),
    "disk": Attack(disk.cases, limit=300.0, forks=True),
    "environment": Attack(environment.cases, limit=300.0, forks=True),
    "guided": Attack(guided.cases, short=len(guided.TARGETS)),
}
#: Modules that commands import when they need them, some of which take seconds.
_MODULES = (
    "scipy.optimize", "scipy.ndimage", "scipy.sparse", "scipy.spatial", "torch.fx.experimental.symbolic_shapes", "av",
    "cv2", "avatar.jobs.driven_motion", "avatar.jobs.frame_output", "avatar.jobs.recording",
    "avatar.jobs.training_outputs",
    "avatar.evaluation.protocol", "avatar.export", "avatar.motion", "avatar.training.fit", "avatar.video.joining",
    "capture.layouts.write", "capture.pipeline", "capture.report", "capture.synthetic.video", "capture.video.decoding",
    "tests.capture.video.fake_video", "viewer.outputs.video_recorder", "avatar.driving.live.recorder",
)  # fmt: skip
_SHORT_INPUTS = 15  # of each target of the guided class


def main() -> int:
    """Run what the command line asks for."""
    given = _arguments()
    for name in given.only:
        if name not in ATTACKS:
            print(f"no class {name!r}; there are {', '.join(ATTACKS)}", file=sys.stderr)
            return 2
    names = given.only or [name for name in ATTACKS if ATTACKS[name].short or not given.short]
    _import_everything()
    root = Path(tempfile.mkdtemp(prefix="attack-")).resolve()
    print(f"seed {given.seed}, in {root}", flush=True)
    start = time.monotonic()
    try:
        results = _run(make_scene(root, given.seed), names, given)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if not results:
        print("no such case", file=sys.stderr)
        return 2
    return _report(results, names, given, time.monotonic() - start)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.system.trust.attack", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--only", nargs="+", default=[], metavar="CLASS", help=f"some of {', '.join(ATTACKS)}")
    parser.add_argument("--case", metavar="NAME", help="run one case alone")
    parser.add_argument("--cases", type=int, metavar="N", help="at most N cases of each class")
    parser.add_argument("--short", action="store_true", help="less than a minute, without the classes that fork")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes; default: all cores")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to this page too")
    parser.add_argument("--failures", type=Path, metavar="FILE", help="write the failures to this file too")
    return parser.parse_args()


def _import_everything() -> None:
    """What each forked process would otherwise import for itself; nothing here may start a thread."""
    for name in _MODULES:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    from avatar.head import load_head

    load_head()


def _run(scene: Scene, names: Sequence[str], given: argparse.Namespace) -> list[Result]:
    results: list[Result] = []

    def report(result: Result) -> None:
        results.append(result)
        if result.outcome.failed:
            print(f"FAILED {_line(result)}", flush=True)

    for name in names:
        attack, start = ATTACKS[name], time.monotonic()
        cases = _chosen(name, scene, given)
        work = scene.root / "work"
        run_cases(
            name, cases, work, report, jobs=given.jobs, limit=attack.limit, prepare=partial(_prepare, name, scene)
        )
        shutil.rmtree(work, ignore_errors=True)
        count = sum(result.attack == name for result in results)
        print(f"{name}: {count} cases in {time.monotonic() - start:.0f} s", flush=True)
    return results


def _chosen(name: str, scene: Scene, given: argparse.Namespace) -> list[Case]:
    """The cases of a class that the command line asks for."""
    attack = ATTACKS[name]
    if name == "guided":
        if given.case is not None:
            found = guided.find(scene, given.case)
            return [] if found is None else [found]
        most = _SHORT_INPUTS if given.short else guided.INPUTS
        each = most if given.cases is None else min(most, max(given.cases // len(guided.TARGETS), 1))
        return guided.cases(scene, each)
    cases = attack.cases(scene)
    if given.case is not None:
        return [case for case in cases if case.name == given.case]
    most = attack.short if given.short else len(cases)
    most = most if given.cases is None else min(most, given.cases)
    if most >= len(cases):
        return cases
    kept = sorted(Random(scene.random_name(name)).sample(range(len(cases)), most))
    return [cases[number] for number in kept]


def _prepare(name: str, scene: Scene) -> None:
    """In a new worker: nothing outside the folder of the attack can be written."""
    guard.guard(scene.root)
    if ATTACKS[name].forks:
        return
    import torch

    import cuda_ext

    torch.set_num_threads(1)
    if cuda_ext.available("cpu"):
        cuda_ext.set_threads(1)
    if name == "options":
        options.without_windows()


def _line(result: Result) -> str:
    detail = "".join(letter if letter.isprintable() else " " for letter in result.outcome.detail)
    return f"{result.attack} --case {result.name!r}: {result.outcome.kind}: {detail.strip()}"


def _report(results: Sequence[Result], names: Sequence[str], given: argparse.Namespace, seconds: float) -> int:
    failed = [result for result in results if result.outcome.failed]
    print(f"\n{as_text(rows_of(results, names))}\n\nseed {given.seed}: {len(results)} cases in {seconds:.0f} s")
    if failed:
        print(f"{len(failed)} failed; run one again with `--seed {given.seed} --only CLASS --case NAME`")
    if given.failures is not None:
        given.failures.write_text("\n".join(map(_line, failed)) + "\n", encoding="utf-8", errors="backslashreplace")
    if given.markdown is not None:
        cores = f"{given.jobs} processes" if given.jobs > 1 else "one process"
        summary = (
            f"Seed {given.seed}, {len(results)} cases in {seconds / 60:.0f} minutes with {cores}, Python "
            f"{platform.python_version()} on {platform.system()}."
        )
        write_markdown(given.markdown, as_markdown(rows_of(results, names), summary))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
