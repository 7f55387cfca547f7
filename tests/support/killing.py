"""Captures and trainings that are killed with SIGKILL at a chosen file operation, each in a forked process.

`python -m tests.support.killing` imports everything once, reads a JSON list of runs from stdin and forks for each. A
run has "kill": [event, end of the path, count] or null, and is a capture of the fake video, {"out", "options"}, or a
training, {"train": arguments of `headsplat train`}.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FRAMES = 24
#: Python's audit events that change files, and one of this module: half of the bytes of Path.write_bytes are written.
EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "half")


def run_all(runs: list[dict[str, Any]], timeout: float = 120.0, module: str = "tests.support.killing") -> list[int]:
    """Run captures and trainings one after another in `module`; returns their exit codes, -9 for killed runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module]
    done = subprocess.run(
        command, input=json.dumps(runs), capture_output=True, text=True, cwd=ROOT, env=environment, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def die_at(event: str, ending: str, count: int) -> None:
    """Let this process kill itself at the `count`-th `event` on a path that ends in `ending` (empty: any event)."""
    remaining, lock = [count], threading.Lock()

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name not in EVENTS or (event and name != event) or not arguments:
            return
        if name == "open" and not _writes(arguments):
            return
        if str(arguments[0]).endswith(ending):
            with lock:
                remaining[0] -= 1
                if not remaining[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

    def write_bytes(path: Path, content: bytes) -> int:
        with path.open("wb", buffering=0) as stream:
            stream.write(content[: len(content) // 2])
            sys.audit("half", path)
            stream.write(content[len(content) // 2 :])
        return len(content)

    Path.write_bytes = write_bytes  # type: ignore[assignment, method-assign]
    sys.addaudithook(hook)


def _writes(arguments: tuple[Any, ...]) -> bool:
    return isinstance(arguments[1], str) and "w" in arguments[1]


def _capture(run: dict[str, Any]) -> None:
    import capture.pipeline
    import capture.stages.frames
    import capture.stages.landmarks
    from capture.options import CaptureOptions
    from tests.capture.video.fake_video import FakeVideo, fake_models, fit_person_quickly, source_metadata

    capture.pipeline.fit_person = fit_person_quickly  # type: ignore[assignment]
    capture.stages.landmarks._SAVE_STEP = capture.stages.frames._SAVE_STEP = 7
    video, options = FakeVideo(FRAMES), CaptureOptions(passes=1, **run["options"])
    capture.pipeline.capture_frames(
        video, video.count, source_metadata(), Path(run["out"]), options, None, fake_models()
    )


def _train(arguments: list[str]) -> int:
    import avatar.training.fit
    from avatar.cli import main

    avatar.training.fit.CHECKPOINT_SECONDS = 0.0
    return main(["train", *arguments])


def _forked(run: dict[str, Any]) -> int:
    child = os.fork()
    if not child:
        code = 1
        os.dup2(2, 1)  # the stdout of the parent is for the exit codes
        try:
            if run["kill"]:
                die_at(*run["kill"])
            code = _train(run["train"]) if "train" in run else (_capture(run) or 0)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _main() -> None:
    import torch

    torch.set_num_threads(1)  # threads do not exist in forked processes
    import capture.pipeline  # noqa: F401
    from tests.capture.video.fake_video import true_points

    runs = json.load(sys.stdin)
    if any("train" in run for run in runs):
        import_for_training()
    for number in range(FRAMES):
        true_points(number, 0)
    print(json.dumps([_forked(run) for run in runs]))


def import_for_training() -> None:
    """Everything that each training would otherwise import for itself."""
    import scipy.optimize  # noqa: F401
    import torch.fx.experimental.symbolic_shapes  # noqa: F401  (by the first gradient)

    import avatar.cli.train
    import avatar.jobs.training
    import avatar.training.fit  # noqa: F401
    import capture.layouts  # noqa: F401
    from avatar.head import load_head

    load_head()


if __name__ == "__main__":
    _main()
