"""`headsplat capture` and `headsplat train` killed with SIGKILL at random times, then repeated until they finish.

    python -m tests.bench.bench_kill CLIP [--kills 10] [--seed 0] [--frames 48] [--steps 120]

With the real command, networks and clip; each run is killed once, at a random fraction of the duration of an
uninterrupted run, then its command is repeated. Results that differ from those of the uninterrupted run are reported;
the exit code is their number.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

#: The command with a checkpoint every half second, so that most killed runs have one.
COMMAND = (
    "import sys, avatar.training.fit; avatar.training.fit.CHECKPOINT_SECONDS = 0.5; "
    "from avatar.cli import main; sys.exit(main())"
)


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """Start the command in a new process."""
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(arguments: list[str]) -> tuple[int, str]:
    """Run the command to its end; returns exit code and last message."""
    process = start(arguments)
    message = (process.communicate()[1].strip().splitlines() or [""])[-1]
    return process.returncode, message


def killed(arguments: list[str], after: float) -> int:
    """Exit code of the command, killed after `after` seconds if it still runs."""
    process = start(arguments)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode


def capture_digest(folder: Path) -> dict[str, str]:
    """Hash of each file of a capture; JSON files without seconds."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".json":
            entries = {name: value for name, value in json.loads(content).items() if name not in ("seconds", "words")}
            content = json.dumps(entries).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def same_avatar(one: Path, other: Path) -> bool:
    """Whether two avatar files have the same tensors, bit for bit."""
    first, second = load_file(one), load_file(other)
    return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def unexpected_files(folder: Path, expected: set[str]) -> list[str]:
    """Names in `folder` that a finished run does not leave."""
    return sorted(path.name for path in folder.iterdir() if path.name not in expected)


def kill_captures(arguments: argparse.Namespace, root: Path, rng: random.Random) -> list[str]:
    """Kill new captures and replacing ones; returns the failures."""
    options = ["--max-frames", str(arguments.frames), "--test-every", "4", "--no-overlay"]
    whole, other = root / "whole", root / "other"
    started = time.perf_counter()
    assert finish(["capture", str(arguments.clip), "-o", str(whole), *options])[0] == 0
    seconds, failures = time.perf_counter() - started, []
    assert finish(["capture", str(arguments.clip), "-o", str(other), "--max-frames", "32", "--no-overlay"])[0] == 0
    for index in range(arguments.kills):
        folder = root / f"kill{index}" / "clip"
        again = index % 2 == 1
        command = ["capture", str(arguments.clip), "-o", str(folder), *options, *(["--overwrite"] if again else [])]
        if again:
            shutil.copytree(other, folder)
        after = rng.uniform(0.1, 1.0) * seconds
        code = killed(command, after)
        present = (folder / "capture.json").exists()
        if again and code and not present:
            failures.append(f"capture {index}: the old one was missing after {after:.1f} s")
        code, message = finish(command if again or not present else command[:4] + options)
        if code and "a finished capture is there" not in message and "exists already" not in message:
            failures.append(f"capture {index} after {after:.1f} s: {message}")
        elif capture_digest(folder) != capture_digest(whole):
            failures.append(f"capture {index} after {after:.1f} s: another result")
        failures += [f"capture {index}: {name} was not removed" for name in unexpected_files(folder.parent, {"clip"})]
        state = "finished" if present else "unfinished"
        print(f"capture killed after {after:5.1f} of {seconds:.1f} s, {state}: {message}")
        shutil.rmtree(folder.parent)
    return failures


def kill_trainings(arguments: argparse.Namespace, root: Path, rng: random.Random) -> list[str]:
    """Kill trainings on the capture `whole`; returns the failures."""
    settings = root / "quick.toml"
    settings.write_text(f"steps = {arguments.steps}\ngaussians = 2000\nsize = 128\n")
    whole = root / "whole.avatar"

    def command(out: Path) -> list[str]:
        return ["train", str(root / "whole"), "-o", str(out), "--config", str(settings)]

    started = time.perf_counter()
    assert finish(command(whole))[0] == 0
    seconds, failures = time.perf_counter() - started, []
    for index in range(arguments.kills):
        folder = root / f"train{index}"
        folder.mkdir()
        out = folder / "me.avatar"
        after = rng.uniform(0.1, 1.0) * seconds
        killed(command(out), after)
        done = out.exists()
        resumed = out.with_name("me.checkpoint").exists()
        code, message = finish([*command(out), *(["--resume"] if resumed else ["--overwrite"])])
        if code:
            failures.append(f"training {index} after {after:.1f} s: {message}")
        elif not same_avatar(out, whole):
            failures.append(f"training {index} after {after:.1f} s{' (resumed)' if resumed else ''}: another avatar")
        expected = {"me.avatar", "me.toml", "me.preview.png", "me.report.json"}
        failures += [f"training {index}: {name} was not removed" for name in unexpected_files(folder, expected)]
        print(
            f"training killed after {after:5.1f} of {seconds:.1f} s, {'finished, ' if done else ''}resumed: {resumed}"
        )
        shutil.rmtree(folder)
    return failures


def main() -> int:
    """Run both and print the failures; returns their number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--steps", type=int, default=120)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        failures = kill_captures(arguments, Path(folder), rng) + kill_trainings(arguments, Path(folder), rng)
    print("\n".join(failures) or f"{2 * arguments.kills} runs were killed; every result equals the uninterrupted run's")
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
