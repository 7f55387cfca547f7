"""A command that serves a page, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = "import sys; from avatar.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def page_command(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`headsplat WORDS` in a folder while the block runs: its process, and the address that it has printed."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", CODE, *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = (re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line) for line in process.stdout)
        found = next(filter(None, lines), None)
        assert found, "no address"
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()
