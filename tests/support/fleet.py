"""Tiny synthetic people, and processes, for tests of fleets."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors import safe_open

_SETTINGS = "steps = 60\nsize = 96\ngaussians = 3000\n"


def make_people(folder: Path, count: int, frames: int = 40, first_seed: int = 1) -> Path:
    """Write videos of `count` people and a manifest of their trainings; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.toml").write_text(_SETTINGS)
    lines = ["name,source,train.config,train.test-fraction,train.passes"]
    for number in range(first_seed, first_seed + count):
        video = folder / f"clip{number}"
        if not video.exists():
            options = ["--person", "random", "--seed", str(number), "--frames", str(frames), "--size", "180x240"]
            command = [sys.executable, "-m", "avatar.cli", "synth", "-o", str(video), *options]
            subprocess.run(command, check=True, capture_output=True)
        lines.append(f"person{number},clip{number}/video.mp4,tiny.toml,0.2,1")
    manifest = folder / "people.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def tensors_of(avatar: Path) -> str:
    """A checksum of the tensors of an avatar, without its header, which has times."""
    digest = hashlib.sha256()
    with safe_open(avatar, "numpy") as file:
        for name in sorted(file.keys()):
            digest.update(name.encode() + file.get_tensor(name).tobytes())
    return digest.hexdigest()


def process_tree(root: int) -> dict[int, str]:
    """Numbers and command lines of a process and of all its descendants."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text()
            names[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while True:
        more = {number for number, parent in parents.items() if parent in found} - found
        if not more:
            return {number: names.get(number, "") for number in found}
        found |= more


def ours(tree: dict[int, str]) -> list[int]:
    """The processes of a tree without those of Ray that outlive a killed driver for about a minute by themselves."""
    return [number for number, name in tree.items() if not name.startswith(("ray::DashboardAgent", "ray::RuntimeEnv"))]


def is_running(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The events in a fleet's file of JSON lines, without a line that a killed run has not finished."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
