"""Ctrl-C ends a command with one line and exit code 130, however early and however often it is pressed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs the signals and processes of POSIX")
ROOT = Path(__file__).parents[3]
#: Runs the command as a process does, with Ctrl-C pressed at chosen imports; the first argument has their names, or
#: their numbers counted from the first one after the package `avatar.cli`.
AT_IMPORTS = """
import os, runpy, signal, sys
chosen = sys.argv[1].split(",")
counted = [-1]
def hook(event, arguments):
    if event == "import" and (counted[0] >= 0 or arguments[0] == "avatar.cli"):
        counted[0] += 1
        if str(counted[0]) in chosen or arguments[0] in chosen:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[1:] = sys.argv[2:]
sys.addaudithook(hook)
runpy.run_module("avatar.cli", run_name="__main__", alter_sys=True)
"""
#: Runs `headsplat info x`, whose work is replaced by the first argument.
INSTEAD = """
import atexit, signal, sys, threading, time
from avatar.cli.info import InfoCommand
scope = dict(globals())
exec("def run(self):\\n" + sys.argv[1], scope)
InfoCommand.run = scope["run"]
sys.argv[1:] = ["info", "x"]
signal.signal(signal.SIGINT, signal.default_int_handler)
from avatar.cli import main
sys.exit(main())
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


def check(code: int, stderr: str) -> None:
    (line,) = stderr.splitlines()
    assert line.startswith("headsplat: stopped by Ctrl-C")
    assert code == 130


@pytest.mark.parametrize("imports", ["1", "2,3", "5", "20", "40,41", "90", "150,151,152", "250"])
def test_during_the_imports_of_the_command(imports: str) -> None:
    done = run(AT_IMPORTS, imports, "head", "info")
    check(done.returncode, done.stderr)


def test_during_an_import_that_turns_it_into_another_error() -> None:
    done = run(AT_IMPORTS, "numpy._core._multiarray_umath", "head", "info")
    check(done.returncode, done.stderr)


@pytest.mark.parametrize(
    "work",
    [
        "    try:\n        signal.raise_signal(2)\n    finally:\n        signal.raise_signal(2)",
        "    class Released:\n"
        "        def __del__(self):\n            signal.raise_signal(2)\n"
        "    Released()\n    time.sleep(30)\n    return 0",
        "    atexit.register(lambda: signal.raise_signal(2))\n    signal.raise_signal(2)",
        "    threading.Timer(0.5, signal.raise_signal, (2,)).start()\n    raise KeyboardInterrupt",
    ],
    ids=["twice", "in a finalizer", "again at exit", "again while threads end"],
)
def test_during_the_work_and_after_it(work: str) -> None:
    done = run(INSTEAD, work)
    check(done.returncode, done.stderr)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15])
def test_at_the_start_of_the_process(seconds: float) -> None:
    command = [sys.executable, "-m", "avatar.cli", "head", "info"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=_heed)
    ends = time.monotonic() + 1.0
    while not _catches(process.pid, signal.SIGTERM) and time.monotonic() < ends:
        time.sleep(0.001)
    time.sleep(seconds)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=120)[1]
    check(process.returncode, stderr)


def _heed() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # scripts start background processes that ignore it


def _catches(process: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_the_version_and_wrong_usage_load_no_large_library() -> None:
    code = (
        "import sys\nfrom avatar.cli import main\n"
        "assert not {'tyro', 'signal', 'pathlib'} & set(sys.modules) - set(sys.argv[1].split(','))\n"
        "assert main(['--version']) == 0 and 'tyro' not in sys.modules\n"
        "try:\n    main(['trian'])\nexcept SystemExit as left:\n    assert left.code == 2\n"
        "assert not {'torch', 'cv2', 'av', 'numpy'} & set(sys.modules)\n"
    )
    loaded = run("import sys; print(','.join(sys.modules))").stdout.strip()
    done = run(code, loaded)
    assert done.returncode == 0, done.stderr
