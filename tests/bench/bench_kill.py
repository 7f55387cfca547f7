"""`headsplat capture` and `headsplat train` killed with SIGKILL at random moments, then repeated until they finish.

    python -m tests.bench.bench_kill CLIP [--kills 10] [--seed 0] [--frames 48] [--steps 120]

The real command, the real networks, the real clip; each run dies once, at a random share of the time that an unbroken
run takes, and its command is repeated as a person would. Everything that ends otherwise than the unbroken run is
reported, and the exit code counts it.
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

#: The command with checkpoints every half second, so that most deaths find one.
COMMAND = (
    "import sys, avatar.training.fit; avatar.training.fit.CHECKPOINT_SECONDS = 0.5; "
    "from avatar.cli import main; sys.exit(main())"
)


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(arguments: list[str]) -> tuple[int, str]:
    """Exit code and last sentence of the command, undisturbed."""
    process = start(arguments)
    sentence = (process.communicate()[1].strip().splitlines() or [""])[-1]
    return process.returncode, sentence


def killed(arguments: list[str], after: float) -> int:
    """Exit code of the command when it is killed `after` seconds; 0 where it was quicker."""
    process = start(arguments)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode


def capture_digest(folder: Path) -> dict[str, str]:
    """What must agree of a capture: the hash of each file but the overlay; facts and report without seconds."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".json":
            facts = {name: value for name, value in json.loads(content).items() if name not in ("seconds", "words")}
            content = json.dumps(facts).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def same_avatar(one: Path, other: Path) -> bool:
    """Whether two avatars hold the same numbers, bit for bit."""
    first, second = load_file(one), load_file(other)
    return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def left_over(folder: Path, wanted: set[str]) -> list[str]:
    """Names in `folder` that no finished run leaves."""
    return sorted(path.name for path in folder.iterdir() if path.name not in wanted)


def kill_captures(arguments: argparse.Namespace, root: Path, moments: random.Random) -> list[str]:
    """Kill captures, fresh ones and ones made again; returns what went wrong."""
    options = ["--max-frames", str(arguments.frames), "--test-every", "4", "--no-overlay"]
    whole, other = root / "whole", root / "other"
    began = time.perf_counter()
    assert finish(["capture", str(arguments.clip), "-o", str(whole), *options])[0] == 0
    seconds, wrong = time.perf_counter() - began, []
    assert finish(["capture", str(arguments.clip), "-o", str(other), "--max-frames", "32", "--no-overlay"])[0] == 0
    for index in range(arguments.kills):
        folder = root / f"kill{index}" / "clip"
        again = index % 2 == 1
        command = ["capture", str(arguments.clip), "-o", str(folder), *options, *(["--overwrite"] if again else [])]
        if again:
            shutil.copytree(other, folder)
        after = moments.uniform(0.1, 1.0) * seconds
        code = killed(command, after)
        held = (folder / "capture.json").exists()
        if again and code and not held:
            wrong.append(f"capture {index}: the old one was gone after {after:.1f} s")
        code, sentence = finish(command if again or not held else command[:4] + options)
        if code and "a finished capture is there" not in sentence and "exists already" not in sentence:
            wrong.append(f"capture {index} after {after:.1f} s: {sentence}")
        elif capture_digest(folder) != capture_digest(whole):
            wrong.append(f"capture {index} after {after:.1f} s: another result")
        wrong += [f"capture {index}: {name} is left" for name in left_over(folder.parent, {"clip"})]
        print(
            f"capture killed after {after:5.1f} of {seconds:.1f} s, {'finished' if held else 'unfinished'}: {sentence}"
        )
        shutil.rmtree(folder.parent)
    return wrong


def kill_trainings(arguments: argparse.Namespace, root: Path, moments: random.Random) -> list[str]:
    """Kill trainings on the capture `whole`; returns what went wrong."""
    settings = root / "quick.toml"
    settings.write_text(f"steps = {arguments.steps}\ngaussians = 2000\nsize = 128\n")
    whole = root / "whole.avatar"

    def command(out: Path) -> list[str]:
        return ["train", str(root / "whole"), "-o", str(out), "--config", str(settings)]

    began = time.perf_counter()
    assert finish(command(whole))[0] == 0
    seconds, wrong = time.perf_counter() - began, []
    for index in range(arguments.kills):
        folder = root / f"train{index}"
        folder.mkdir()
        out = folder / "me.avatar"
        after = moments.uniform(0.1, 1.0) * seconds
        killed(command(out), after)
        done = out.exists()
        resumed = out.with_name("me.checkpoint").exists()
        code, sentence = finish([*command(out), *(["--resume"] if resumed else ["--overwrite"])])
        if code:
            wrong.append(f"training {index} after {after:.1f} s: {sentence}")
        elif not same_avatar(out, whole):
            wrong.append(f"training {index} after {after:.1f} s{' (resumed)' if resumed else ''}: another avatar")
        wanted = {"me.avatar", "me.toml", "me.preview.png", "me.report.json"}
        wrong += [f"training {index}: {name} is left" for name in left_over(folder, wanted)]
        print(
            f"training killed after {after:5.1f} of {seconds:.1f} s, {'finished, ' if done else ''}resumed: {resumed}"
        )
        shutil.rmtree(folder)
    return wrong


def main() -> int:
    """Run both and print what went wrong; returns how much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--steps", type=int, default=120)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        wrong = kill_captures(arguments, Path(folder), moments) + kill_trainings(arguments, Path(folder), moments)
    print("\n".join(wrong) or f"{2 * arguments.kills} deaths, and every result is that of the unbroken run")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
