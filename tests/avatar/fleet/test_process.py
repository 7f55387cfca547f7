"""Commands in processes of their own: how they end, what they said, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatar import __version__
from avatar.fleet import process
from avatar.fleet.jobs import Needs
from avatar.fleet.process import Ended, environment, run_command

ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX processes")


@pytest.fixture(autouse=True)
def own_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of cores in a folder of this test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def run(folder: Path, *arguments: str, time_limit: float | None = 60.0) -> Ended:
    return run_command(arguments, Needs(), folder / "log.txt", folder, time_limit)


def endless(folder: Path) -> list[str]:
    """A command that waits without an end: for the writer of a pipe."""
    os.mkfifo(folder / "pipe.toml")
    return ["train", "a.mp4", "-o", "a.avatar", "--config", str(folder / "pipe.toml")]


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for something that another process does, for a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(number: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waits for does not."""
    try:
        os.kill(number, 0)
        state = (
            Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] if sys.platform == "linux" else ""
        )
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def ended(log: str, code: int = 1) -> Ended:
    return Ended(code, False, log, 0.0, 0.0, 0)


def test_a_command_that_succeeds_gives_its_output_and_its_use(tmp_path: Path) -> None:
    found = run(tmp_path, "--version")
    assert (found.code, found.timed_out, found.log) == (0, False, f"headsplat {__version__}")
    assert found.seconds > 0
    if os.name == "posix":
        assert found.cpu_seconds > 0 and 5_000_000 < found.memory < 10**10


def test_a_command_that_fails_gives_its_sentence(tmp_path: Path) -> None:
    found = run(tmp_path, "info", "missing.avatar")
    assert (found.code, found.timed_out) == (1, False)
    assert found.sentence == (
        "missing.avatar: no such file or folder; give an .avatar file, a capture folder or a video"
    )


def test_a_usage_error_gives_the_text_of_its_box(tmp_path: Path) -> None:
    found = run(tmp_path, "train", "--nonsense")
    assert found.code == 2
    assert found.sentence.startswith("Required options Missing from headsplat train: -o PATH")
    assert "Unrecognized options: --nonsense" in found.sentence and found.sentence.isascii()


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("reading\nheadsplat: a: broken; fix it\nbye", "a: broken; fix it"),
        ("headsplat: first\nheadsplat: last", "last"),
        ("1\n2\n\n3\n4\n5\n6\n7", "2 3 4 5 6 7"),
        ("before\n\u256d\u2500 Old \u256e\n\u256d\u2500 Error \u256e\n\u2502 a \u2502\n\u2570\u2500\u256f", "Error a"),
        ("", "the command ended with exit code 3 and said nothing"),
        ("\n \n", "the command ended with exit code 3 and said nothing"),
        ("x" * 1000, "x" * 600),
    ],
)
def test_the_sentence_is_the_last_one_of_the_log(log: str, sentence: str) -> None:
    assert ended(log, 3).sentence == sentence


def test_only_the_last_lines_of_a_long_log_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"\xff" + b"".join(b"%d\n" % number for number in range(100_000)))
    assert process._tail(log) == "\n".join(str(number) for number in range(100_000 - process.LOG_LINES, 100_000))


@posix
def test_a_time_limit_ends_a_command(tmp_path: Path) -> None:
    found = run(tmp_path, *endless(tmp_path), time_limit=0.6)
    assert found.timed_out and found.code == -signal.SIGKILL
    assert found.memory > 0


@posix
def test_a_command_that_does_not_react_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.2)
    started: list[int] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            os.kill(self.pid, signal.SIGSTOP)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    late: list[None] = []

    def resume() -> None:
        late.append(os.kill(started[0], signal.SIGCONT))

    timer = threading.Timer(60, resume)
    timer.start()
    found = run(tmp_path, "--version", time_limit=0.2)
    timer.cancel()
    assert not late and found.timed_out and found.code == -signal.SIGKILL and not is_running(started[0])


@posix
def test_an_interrupt_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    wait = process._wait

    def interrupted(child: subprocess.Popen[bytes], limit: float | None) -> Any:
        if started:
            return wait(child, limit)
        started.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, *endless(tmp_path))
    assert started[0].returncode == -signal.SIGKILL


#: Imported by Python at its start: the command starts another process, and both write their numbers.
GRANDCHILD = """
import os, subprocess, sys
if "avatar.fleet.child_process" in sys.orig_argv:
    own_session = os.setsid
    def setsid():
        own_session()
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(120)"])
        with open("numbers.part", "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
        os.rename("numbers.part", "numbers")
    os.setsid = setsid
"""
STARTER = """
import os, sys
from pathlib import Path
from avatar.fleet.jobs import Needs
from avatar.fleet.process import run_command
folder, root, *arguments = sys.argv[1:]
os.environ["PYTHONPATH"] = os.pathsep.join([root, folder])
run_command(arguments, Needs(), Path(folder, "log.txt"), Path(folder), None)
"""


@posix
def test_nothing_is_left_when_the_starting_process_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(GRANDCHILD)
    command = [sys.executable, "-c", STARTER, str(tmp_path), str(ROOT), *endless(tmp_path)]
    starter = subprocess.Popen(command, cwd=ROOT)
    numbers: list[int] = []
    try:
        wait_until(lambda: (tmp_path / "numbers").exists() or starter.poll() is not None)
        numbers = [int(number) for number in (tmp_path / "numbers").read_text().split()]
        assert len(numbers) == 2 and all(map(is_running, numbers))
        starter.kill()
        starter.wait()
        wait_until(lambda: not any(map(is_running, numbers)))
    finally:
        starter.kill()
        starter.wait()
        for number in filter(is_running, numbers):
            os.kill(number, signal.SIGKILL)


def test_a_job_without_a_gpu_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert environment(Needs(gpus=0))["CUDA_VISIBLE_DEVICES"] == ""
    assert environment(Needs(gpus=0.5))["CUDA_VISIBLE_DEVICES"] == "3"  # chosen by the scheduler


def test_a_job_has_as_many_threads_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    found = environment(Needs(cores=3))
    assert {found[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert found["PATH"] == os.environ["PATH"]
