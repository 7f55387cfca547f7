"""A display for tests that open the window: the one that is there, else an own Xvfb."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

#: Seconds that Xvfb may take to come up.
_PATIENCE = 30.0


@contextmanager
def any_display() -> Iterator[str]:
    """The value of DISPLAY to open windows on; skips the test where there is none to be had."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("neither a display (DISPLAY) nor Xvfb to make one; on Debian and Ubuntu: apt install xvfb")
    told, tell = os.pipe()
    command = ["Xvfb", "-displayfd", str(tell), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[tell], stderr=subprocess.PIPE, text=True)
    os.close(tell)
    try:
        number = _line(told)
        if not number:
            server.kill()
            pytest.skip(f"Xvfb does not start: {' '.join(server.communicate()[1].split())[-300:]}")
        yield f":{number}"
    finally:
        os.close(told)
        server.terminate()
        server.communicate()


def _line(file: int) -> str:
    """What is written to a pipe up to the end of the line; empty where it is closed or stays silent."""
    read = b""
    while not read.endswith(b"\n"):
        ready = select.select([file], [], [], _PATIENCE)[0]
        piece = os.read(file, 64) if ready else b""
        if not piece:
            return ""
        read += piece
    return read.decode().strip()
