"""Commands that write, with what they need, and whether an output is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from avatar.cli.exit_codes import INTERRUPTED
from avatar.common.files import os_error_sentence
from avatar.errors import HeadsplatError
from tests.system.trust.attack.forked import Ended, call_forked, count_changes, run_forked
from tests.system.trust.attack.scene import SIZE, Scene

_RECORDED_FRAMES = 45


@dataclass(frozen=True)
class Job:
    """A command that writes into the folder `out`; its inputs are in the folder `in`."""

    name: str
    arguments: tuple[str, ...]  # of headsplat; empty for work that no command line starts
    outputs: tuple[str, ...]  # in `out`
    work: Callable[[Path], int] | None = None
    kept: str = "\0"  # part of the names of unfinished results that stay for the user after a kill

    def run(self, folder: Path, *flags: str) -> int:
        """Run in `folder`; returns the exit code."""
        import avatar.training.fit
        from avatar.cli import main

        avatar.training.fit.CHECKPOINT_SECONDS = 0.0
        return main([*self.arguments, *flags]) if self.work is None else _as_command(self.work, folder)


def _as_command(work: Callable[[Path], int], folder: Path) -> int:
    """Run work that no command line starts; errors and Ctrl-C end it as they end a command."""
    try:
        return work(folder)
    except (HeadsplatError, OSError) as error:
        text = os_error_sentence(error) if isinstance(error, OSError) else str(error)
        print(f"headsplat: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _record(folder: Path) -> int:
    """A live recording without its window: a video and a motion of 45 frames at 30 fps."""
    from avatar.jobs.recording import Recording, sample_of
    from avatar.model.avatar_file import load_avatar

    avatar = load_avatar(folder / "in" / "me.avatar")
    params = avatar.head.neutral_params(1)
    with Recording([folder / "out" / "take.mp4", folder / "out" / "take.csv"], overwrite=True) as recording:
        for frame in range(_RECORDED_FRAMES):
            now = time.monotonic()
            recording.add_sample(sample_of(avatar, params, now))
            recording.add_image(np.full((64, 64, 3), 5 * frame, np.uint8), now)
            time.sleep(1 / 30)
    print("\n".join(f"headsplat: {message}" for message in recording.messages), file=sys.stderr)
    return 1 if recording.failed else 0


def _capture(folder: Path) -> int:
    """A capture of a video in memory, with networks that read the truth off its pixels."""
    from tests.support import killing

    killing._capture({"out": str(folder / "out" / "new.capture"), "options": {"overwrite": True}})
    return 0


_TRAIN = ("train", "in/me.capture", "-o", "out/new.avatar", "--config", "in/tiny.toml")
_EVAL = ("eval", "in/me.avatar", "in/me.capture", "--no-refine", "--save-images", "out/new")
_RENDER = ("render", "in/me.avatar", "--motion", "in/me.capture", "--size", str(SIZE))
JOBS = {
    job.name: job
    for job in (
        Job("train", _TRAIN, ("new.avatar",)),
        Job("render mp4", (*_RENDER, "-o", "out/new.mp4"), ("new.mp4",)),
        Job("render folder", (*_RENDER, "-o", "out/new"), ("new",)),
        Job("export ply", ("export", "in/me.avatar", "-o", "out/new.ply"), ("new.ply",)),
        Job("export spz", ("export", "in/me.avatar", "-o", "out/new.spz"), ("new.spz",)),
        Job("export splats glb", ("export", "in/me.avatar", "-o", "out/new.glb", "--splats"), ("new.glb",)),
        Job("export glb", ("export", "in/me.avatar", "-o", "out/new.glb", "--motion", "in/me.capture"), ("new.glb",)),
        Job("export obj", ("export", "in/me.avatar", "-o", "out/new.obj"), ("new.obj",)),
        Job("export vrm", ("export", "in/me.avatar", "-o", "out/new.vrm"), ("new.vrm",)),
        Job("export lam", ("export", "in/me.avatar", "-o", "out/new.zip"), ("new.zip",)),
        Job("export folder", ("export", "in/me.avatar", "-o", "out/new", "--motion", "in/me.capture"), ("new",)),
        Job("motion csv", ("motion", "convert", "in/me.capture", "-o", "out/new.csv"), ("new.csv",)),
        Job("motion npz", ("motion", "convert", "in/me.capture", "-o", "out/new.motion.npz"), ("new.motion.npz",)),
        Job(
            "eval", (*_EVAL, "--json", "out/new.json", "--markdown", "out/new.md"), ("new", "new.json", "new.md"),
        ),
        Job("convert", ("convert", "in/me.capture", "-o", "out/new"), ("new",)),
        Job("join", ("join", "in/segments/0.mp4", "in/segments/6.mp4", "-o", "out/new.mp4"), ("new.mp4",)),
        Job("synth", ("synth", "-o", "out/new", "--frames", "3", "--size", "64x64"), ("new",)),
        Job("capture", (), ("new.capture",), _capture),
        Job("recording", (), ("take.mp4", "take.csv"), _record, kept="take.partial"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A job that nothing disturbed."""

    folder: Path  # with its `in` and `out`
    seconds: float
    changes: int  # of files below `out`
    names: frozenset[str]  # in `out`
    sizes: tuple[int, ...]  # bytes of all files, increasing


@cache
def reference(scene: Scene, name: str, worker: int) -> Reference:
    """The undisturbed run of a job, once in each worker process."""
    folder = scene.root / "reference" / f"{name.replace(' ', '_')}-{worker}"
    prepare(scene, folder)
    counter = folder / "changes"
    job = JOBS[name]
    ended = run_forked(lambda: job.run(folder), setup=[chdir(folder), count_changes(folder / "out", counter)])
    if ended.code:
        raise RuntimeError(f"{name} fails without a disturbance: {ended.text[-300:]}")
    sizes = sorted(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file())
    return Reference(folder, ended.seconds, counter.stat().st_size, names_in(folder), tuple(sizes))


def prepare(scene: Scene, folder: Path) -> None:
    """The folders `in` and `out`."""
    folder.mkdir(parents=True, exist_ok=True)
    scene.copy_inputs(folder)
    (folder / "out").mkdir()


def chdir(folder: Path) -> Callable[[], None]:
    """A setup that changes the current folder."""
    return lambda: os.chdir(folder)


def put_old(job: Job, known: Reference, folder: Path) -> None:
    """Copy the outputs of the undisturbed run into `out`, as those of an earlier run."""
    shutil.copytree(known.folder / "out", folder / "out", dirs_exist_ok=True)


def names_in(folder: Path) -> frozenset[str]:
    """Names in `out`."""
    return frozenset(path.name for path in (folder / "out").iterdir())


def digest(path: Path) -> str:
    """A hash over the files of an output and their names."""
    found = hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        found.update(str(part.relative_to(path)).encode())
        if part.is_file():
            found.update(part.read_bytes())
    return found.hexdigest()


def whole(path: Path, known: Path) -> str | None:
    """Why an output is not whole, or None; `known` is one that is."""
    if digest(path) == digest(known):
        return None
    try:
        return call_forked(_fault, path, known)
    except RuntimeError as error:
        return f"it cannot be read: {str(error).strip().splitlines()[-1][:200]}"


def broken_output(job: Job, folder: Path, known: Reference) -> str | None:
    """The first output of a job in `folder` that is missing or not whole, and why; None if all are."""
    for name in job.outputs:
        path = folder / "out" / name
        fault = whole(path, known.folder / "out" / name) if path.exists() else "missing"
        if fault is not None:
            return f"{name}: {fault}"
    return None


def _fault(path: Path, known: Path) -> str | None:
    if path.is_dir() and (path / "capture.json").exists():
        from avatar.data.capture_folder import Capture

        Capture.load(path).images([0, 1], SIZE)
        return None
    if path.is_dir():
        return _folder_fault(path, known)
    if path.suffix == ".avatar":
        from avatar.model.avatar_file import load_avatar

        return None if len(load_avatar(path)) else "no Gaussians"
    if path.suffix in (".mp4", ".mov"):
        import av

        with av.open(str(path)) as container:
            return None if sum(1 for _ in container.decode(video=0)) else "no frames"
    if path.suffix in (".csv", ".npz"):
        from avatar.motion import read_motion

        return None if len(read_motion(path)) else "no frames"
    short = path.stat().st_size < 0.9 * known.stat().st_size
    return "shorter than a whole one" if short else None


def _folder_fault(path: Path, known: Path) -> str | None:
    import cv2

    for part in path.rglob("*.png"):
        if cv2.imread(str(part)) is None:
            return f"{part.name} is no image"
    for part in path.rglob("*.mp4"):
        if fault := _fault(part, part):
            return f"{part.name}: {fault}"
    usual = {part.suffix: part.stat().st_size for part in known.rglob("*.ply")}
    short = [part.name for part in path.rglob("*.ply") if part.stat().st_size < usual[".ply"]]
    return f"{short[0]} is too short" if short else None


def message_of(ended: Ended) -> str:
    """The last line that begins with the name of the program."""
    lines = [line for line in ended.text.splitlines() if line.startswith("headsplat: ") or "headsplat." in line]
    return lines[-1] if lines else ended.text[-300:]
