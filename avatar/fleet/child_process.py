"""`python -m avatar.fleet.child_process CORES ARGUMENTS`: a `headsplat` command that ends with its parent process.

Its standard input is a pipe that nobody writes to. It ends when that process closes it, or dies; then this process is
killed with all that it started. The outputs of a killed command are complete or absent.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _kill_with_parent() -> None:
    """Wait for the end of standard input, then kill this process and its group."""
    while os.read(0, 4096):
        pass
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(137)


def _start(cores: int) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # a process group of its own
    if hasattr(os, "sched_setaffinity"):
        from avatar.fleet.cores import take_cores

        take_cores(cores)
    threading.Thread(target=_kill_with_parent, daemon=True).start()


if __name__ == "__main__":
    number, *arguments = sys.argv[1:]
    sys.argv = ["headsplat", *arguments]
    _start(int(number))
    runpy.run_module("avatar.cli", run_name="__main__", alter_sys=True)
