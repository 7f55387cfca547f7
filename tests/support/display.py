"""A display for tests that open the window: the existing one, or an Xvfb."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

#: Seconds that Xvfb may take to start.
_TIMEOUT = 30.0


@contextmanager
def any_display() -> Iterator[str]:
    """The value of DISPLAY to open windows on; skips the test where there is none."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("neither a display (DISPLAY) nor Xvfb; on Debian and Ubuntu: apt install xvfb")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.PIPE, text=True)
    os.close(writer)
    try:
        number = _line(reader)
        if not number:
            server.kill()
            pytest.skip(f"Xvfb does not start: {' '.join(server.communicate()[1].split())[-300:]}")
        yield f":{number}"
    finally:
        os.close(reader)
        server.terminate()
        server.communicate()


def _line(file: int) -> str:
    """A line from a pipe; empty where it is closed, or after the timeout."""
    read = b""
    while not read.endswith(b"\n"):
        ready = select.select([file], [], [], _TIMEOUT)[0]
        part = os.read(file, 64) if ready else b""
        if not part:
            return ""
        read += part
    return read.decode().strip()
