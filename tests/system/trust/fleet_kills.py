"""`python -m tests.system.trust.fleet_kills`: fleets whose worker, driver or whole machine is killed at random moments.

Each run trains the same tiny synthetic people, is killed with SIGKILL after a random time, and runs again. Checked:
what was stored before the kill is whole and is not run again, the second run finishes every row, the avatars are those
of a fleet that nobody killed, and no process, no half-written file and no scratch is left. About a minute a run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from avatar.fleet.cores import shared_folder
from avatar.fleet.store import sha256_of
from tests.support.fleet import is_running, make_people, ours, process_tree, read_metrics, tensors_of

TARGETS = ("worker", "driver", "node")
#: Seconds that a killed process may take to disappear with its children.
_GONE = 15.0


def command(manifest: Path, out: Path) -> list[str]:
    """The command of a fleet with two workers."""
    return [sys.executable, "-m", "avatar.cli", "fleet", "train", str(manifest), "-o", str(out), "--cores", "2"]


def run(manifest: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """A whole fleet, from start to end."""
    return subprocess.run(command(manifest, out), capture_output=True, text=True, check=False)


def kill_while_running(manifest: Path, out: Path, target: str, delay: float) -> int:
    """Start a fleet, kill `target` after `delay` seconds of jobs, and return the exit code."""
    process = subprocess.Popen(command(manifest, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "fleet.jsonl").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(delay)
    tree = process_tree(process.pid)
    if target == "worker":
        workers = [number for number, name in tree.items() if name.startswith("ray::train/")]
        victims = workers[:1]
    else:
        victims = [process.pid] if target == "driver" else list(tree)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    code = process.wait()
    end = time.monotonic() + _GONE
    while left := [tree[number] for number in ours(tree) if is_running(number)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
    return code


def stored(out: Path) -> dict[str, dict[str, Any]]:
    """The records of the trained rows; raises AssertionError where a file is not whole."""
    records = {}
    for folder in sorted((out / "train").glob("[!.]*")):
        record = json.loads((folder / "fleet.json").read_text())
        for name, entry in record["outputs"].items():
            assert sha256_of(folder / name) == entry["sha256"], f"{folder / name} is not whole"
        records[folder.name] = record
    return records


def left_over(out: Path) -> list[str]:
    """Temporary files and folders that runs have left."""
    return [str(path) for path in (*out.rglob(".*partial*"), *shared_folder().glob(".job.*"))]


def one_run(manifest: Path, out: Path, target: str, delay: float, expected: dict[str, str]) -> dict[str, Any]:
    """One kill, and the run after it; raises AssertionError where something is lost, repeated or half-written."""
    code = kill_while_running(manifest, out, target, delay)
    before = stored(out)
    events = len(read_metrics(out / "fleet.jsonl"))
    second = run(manifest, out)
    assert second.returncode == 0, second.stderr
    after = stored(out)
    assert sorted(after) == sorted(expected)
    new = read_metrics(out / "fleet.jsonl")[events:]
    started = [event["row"] for event in new if event["event"] == "start"]
    assert not set(started) & set(before), f"repeated: {set(started) & set(before)}"
    assert all(after[name] == record for name, record in before.items())
    assert {name: tensors_of(out / "train" / name / f"{name}.avatar") for name in after} == expected
    assert not left_over(out), left_over(out)
    return {"target": target, "delay": delay, "code": code, "done_before": len(before), "run_again": len(started)}


def main() -> None:
    """Kill fleets and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty or new folder for the people and their avatars")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    manifest = make_people(arguments.folder / "people", arguments.people)
    reference = arguments.folder / "whole"
    done = run(manifest, reference)
    assert done.returncode == 0, done.stderr
    expected = {name: tensors_of(reference / "train" / name / f"{name}.avatar") for name in stored(reference)}
    print("| run | killed | after, s | exit code | rows done before | rows run after |\n|---|---|---|---|---|---|")
    for number in range(arguments.runs):
        target = TARGETS[number % 3] if number < 9 else generator.choice(TARGETS)
        delay = generator.uniform(5.0, 35.0)
        found = one_run(manifest, arguments.folder / f"run{number}", target, delay, expected)
        print(
            f"| {number} | {target} | {delay:.1f} | {found['code']} | {found['done_before']} | {found['run_again']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
