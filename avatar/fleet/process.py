"""A `headsplat` command in a process of its own: its cores, its time limit, its last sentence, its use of memory.

The process ends with the one that started it, however that ends: `child_process` waits until its standard input ends.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from avatar.fleet.jobs import Needs

#: Lines of a command's output that are kept for the report of a failure.
LOG_LINES = 40
#: Frames of the boxes that the command line draws around usage errors.
_BOX = re.compile("[\u2500-\u257f]+")
_BOX_START = "\u256d"
_PREFIX = "headsplat: "
#: Seconds in which a process ends by itself when its standard input is closed.
_GRACE = 10.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Ended:
    """A finished process."""

    code: int  # exit code; negative: the number of the signal that ended it
    timed_out: bool
    log: str  # the last lines of standard output and standard error
    seconds: float
    cpu_seconds: float
    memory: int  # bytes, largest resident set; 0 where the system does not say

    @property
    def sentence(self) -> str:
        """The sentence with which the command failed."""
        lines = self.log.splitlines()
        ours = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
        if ours:
            return ours[-1]
        boxes = [number for number, line in enumerate(lines) if line.startswith(_BOX_START)]
        said = [_BOX.sub("", line).strip() for line in (lines[boxes[-1] :] if boxes else lines)]
        said = [line for line in said if line]
        return " ".join(said if boxes else said[-6:])[:600] or (
            f"the command ended with exit code {self.code} and said nothing"
        )


def run_command(arguments: Sequence[str], needs: Needs, log: Path, folder: Path, time_limit: float | None) -> Ended:
    """Run `headsplat ARGUMENTS` and wait for it.

    Args:
        arguments: of the command line.
        needs: how many cores and threads it uses (where the system can limit them), and whether it sees a GPU.
        log: file for what it prints.
        folder: working directory.
        time_limit: seconds after which it is ended.
    """
    command = [sys.executable, "-m", "avatar.fleet.child_process", str(needs.cores), *arguments]
    start = time.monotonic()
    timed_out = False
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(needs), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code, usage = _wait(process, time_limit)
        except TimeoutError:
            timed_out = True
            code, usage = _end(process)
        finally:
            if process.returncode is None:
                _end(process)
    seconds = time.monotonic() - start
    return Ended(code, timed_out, _tail(log), seconds, *usage)


def environment(needs: Needs) -> dict[str, str]:
    """The environment of a command: this process's own, with as many threads as cores, and no GPU without a need."""
    found = os.environ | dict.fromkeys(_THREADS, str(needs.cores)) | {"COLUMNS": "200"}
    if not needs.gpus:
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found


def _wait(process: subprocess.Popen[bytes], time_limit: float | None) -> tuple[int, tuple[float, int]]:
    """Exit code, and CPU seconds and largest memory of the process and of its children.

    Raises:
        TimeoutError: it takes longer than `time_limit`.
    """
    if not hasattr(os, "wait4"):  # Windows
        try:
            return process.wait(time_limit), (0.0, 0)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
    end = None if time_limit is None else time.monotonic() + time_limit
    pause = 0.005
    while True:
        number, status, usage = os.wait4(process.pid, os.WNOHANG)
        if number:
            process.returncode = os.waitstatus_to_exitcode(status)
            unit = 1 if sys.platform == "darwin" else 1024
            return process.returncode, (usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)
        if end is not None and time.monotonic() > end:
            raise TimeoutError
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def _end(process: subprocess.Popen[bytes]) -> tuple[int, tuple[float, int]]:
    """End the process with all that it started, by closing its standard input; one that does not notice is killed."""
    stream: IO[bytes] | None = process.stdin
    if stream is not None:
        stream.close()
    try:
        return _wait(process, _GRACE)
    except TimeoutError:  # it is stopped, or a library keeps Python from running
        _kill(process)
        return _wait(process, None)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if not hasattr(os, "killpg"):
        process.kill()
        return
    for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
        with suppress(ProcessLookupError, PermissionError):
            kill(process.pid, signal.SIGKILL)


def _tail(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 16384))
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-LOG_LINES:])
