"""three.js and other packages from npm, for the examples and the readers of exported files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "web" / "three_scene.html"
#: Seconds after which npm is taken to have no network.
_TIMEOUT = 60


def release_of_three() -> str:
    """The release that the example names, as npm takes it."""
    release = re.search(r"npm install (three@[\d.]+)", EXAMPLE.read_text(encoding="utf-8"))
    assert release is not None
    return release[1]


def install_three(folder: Path, *others: str) -> str | None:
    """Install three.js, and packages that need it, into `folder`/node_modules; returns why that is not possible."""
    return npm_install(folder, release_of_three(), *others)


def npm_install(folder: Path, *packages: str) -> str | None:
    """Install packages into `folder`/node_modules without their scripts; returns why that is not possible."""
    npm = shutil.which("npm")
    if npm is None:
        return "needs npm"
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0")
    command = [npm, "install", "--prefix", folder, *options, *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return f"npm cannot install {', '.join(packages)} here"
    return None


def glb_faults(folder: Path, path: Path) -> set[str]:
    """Codes of what gltf-validator, installed in `folder`, reports of a .glb."""
    node = shutil.which("node")
    assert node is not None
    script = (
        "import validator from 'gltf-validator'; import fs from 'fs';"
        f"const bytes = new Uint8Array(fs.readFileSync({json.dumps(str(path))}));"
        "console.log(JSON.stringify((await validator.validateBytes(bytes)).issues))"
    )
    command = [node, "--input-type=module", "-e", script]
    issues = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=folder).stdout)
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"]
    return {entry["code"] for entry in issues["messages"]}
