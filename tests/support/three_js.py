"""three.js from npm, for the example that shows an avatar in its scene."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "web" / "three_scene.html"
#: Seconds after which npm is taken to have no network.
_TIMEOUT = 60


def install_three(folder: Path) -> str | None:
    """Install the release that the example names into `folder`/node_modules; returns why that is not possible."""
    npm = shutil.which("npm")
    release = re.search(r"npm install (three@[\d.]+)", EXAMPLE.read_text(encoding="utf-8"))
    assert release is not None
    if npm is None:
        return "needs npm"
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0")
    command = [npm, "install", "--prefix", folder, *options, release[1]]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return f"npm cannot install {release[1]} here"
    return None
