"""Everything that needs a GPU, in one go and one report: `make gpu-check`. Needs no network.

    python -m tests.bench.gpu_check [--wheels FOLDER] [--report gpu-report.md]

Builds the kernels, runs the self-check and the tests marked gpu, the kernels' small cases under compute-sanitizer,
and the benchmark with gsplat beside it where it is installed or its wheels lie in FOLDER, and trains a clip on both
devices. Goes on after a failure. Exit code 0: everything passed, 1: something failed, 2: no GPU here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avatar.common.files import atomic_path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "gpu"
NO_GPU = "gpu-check: torch finds no CUDA device; run this on a machine with an NVIDIA GPU and a CUDA build of torch"
PASSED, FAILED, NOTHING_TO_DO = 0, 1, 2
TAIL = 60  # lines of a part's output that the report keeps
PART_SECONDS = 1800
SANITIZERS = ("memcheck", "racecheck")


@dataclass(frozen=True)
class Outcome:
    """How one part went."""

    name: str
    result: str  # "passed", "failed ...", "left out: why"
    seconds: float
    output: str

    @property
    def failed(self) -> bool:
        return self.result.startswith("failed")


@dataclass
class Check:
    """Runs parts one after the other and keeps the report on disk up to date."""

    report: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, name: str, *commands: Sequence[str], **environment: str) -> bool:
        """Run `commands` until one fails; whether none did."""
        print(f"gpu-check: {name}", file=sys.stderr, flush=True)
        started, output, result = time.monotonic(), "", "passed"
        for command in commands:
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env={**self.environment, **environment}, timeout=PART_SECONDS, check=False,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                )  # fmt: skip
            except subprocess.TimeoutExpired as late:
                output += _text(late.stdout)
                result = f"failed: not done after {PART_SECONDS} s"
                break
            except OSError as error:
                result = f"failed: {error}"
                break
            output += done.stdout
            if done.returncode:
                result = f"failed: exit code {done.returncode}"
                break
        self.add(Outcome(name, result, time.monotonic() - started, output))
        return result == "passed"

    def leave_out(self, name: str, reason: str) -> None:
        """Note that a part was not run."""
        self.add(Outcome(name, f"left out: {reason}", 0.0, ""))

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome and write the report so far."""
        self.outcomes.append(outcome)
        print(f"gpu-check: {outcome.name}: {outcome.result}", file=sys.stderr, flush=True)
        with atomic_path(self.report) as part:
            part.write_text(self.to_markdown(), encoding="utf-8")

    def to_markdown(self) -> str:
        """The table of outcomes, then the end of what every part said."""
        lines = ["# headsplat on a GPU", "", "| part | outcome | seconds |", "|---|---|---|"]
        lines += [f"| {one.name} | {one.result} | {one.seconds:.0f} |" for one in self.outcomes]
        for one in self.outcomes:
            if one.output:
                lines += ["", f"## {one.name}", "", "```", *one.output.rstrip().splitlines()[-TAIL:], "```"]
        return "\n".join(lines) + "\n"


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def build_kernels(check: Check) -> None:
    """Compile both halves and put the module where the checkout's `cuda_ext` finds it."""
    python = str(Path(sys.executable).parent)
    path = os.pathsep.join([python, os.environ.get("PATH", ""), "/usr/local/cuda/bin"])
    options = (f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release", "-DHEADSPLAT_CUDA=ON")
    built = check.run(
        "build",
        ("cmake", "-S", str(ROOT / "cuda_ext"), "-B", str(BUILD), *options),
        ("cmake", "--build", str(BUILD), "--parallel"),
        PATH=path,
    )
    if built:
        for module in BUILD.glob("_C*"):
            if module.suffix in (".so", ".pyd"):
                with atomic_path(ROOT / "cuda_ext" / module.name) as part:
                    shutil.copyfile(module, part)
    code = "import sys, cuda_ext; print(cuda_ext.reason('cuda')); sys.exit(not cuda_ext.available('cuda'))"
    check.run("CUDA kernels load", (sys.executable, "-c", code))


def install_wheels(check: Check, folder: Path | None) -> None:
    """Unpack the wheels of `folder` (gsplat and what it needs) beside the build, for this check alone."""
    if folder is None:
        return
    wheels = [str(path) for path in sorted(folder.glob("*.whl"))]
    target = BUILD / "wheels"
    pip = (sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--upgrade", "--target", str(target))
    if check.run("wheels", (*pip, *wheels)):
        paths = [str(target), check.environment.get("PYTHONPATH", "")]
        check.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


def sanitize(check: Check) -> None:
    """The small cases under compute-sanitizer, every allocation on its own so that overruns are seen."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/cuda/bin"])
    tool = shutil.which("compute-sanitizer", path=places)
    for name in SANITIZERS:
        if tool is None:
            check.leave_out(name, "compute-sanitizer is not on the path")
            continue
        command = (tool, "--tool", name, "--error-exitcode", "9", sys.executable, "-m", "tests.bench.gpu_cases")
        check.run(name, command, PYTORCH_NO_CUDA_MEMORY_CACHING="1")


def machine(check: Check) -> None:
    """What everything ran on."""
    doctor = (sys.executable, "-m", "avatar.cli", "doctor")
    if shutil.which("nvidia-smi"):
        check.run("machine", ("nvidia-smi",), doctor)
    else:
        check.run("machine", doctor)


def tests(check: Check) -> None:
    """Every test marked gpu; that there are none is a failure too."""
    check.run("tests", (sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"))


def benchmark(check: Check) -> None:
    """`headsplat bench`, its numbers beside the report."""
    numbers = str(check.report.with_suffix(".json"))
    command = (sys.executable, "-m", "avatar.cli", "bench", "--device", "cuda", "-o", numbers, "--overwrite")
    check.run("benchmark", command)


def self_check(check: Check) -> None:
    """The table of `headsplat doctor --device cuda`."""
    check.run("self-check", (sys.executable, "-m", "avatar.cli", "doctor", "--device", "cuda"))


def training(check: Check) -> None:
    """The demo's clip trained and scored on both devices; a profile of steps and the preset `gpu` on the GPU."""
    folder = BUILD / "training"
    folder.mkdir(parents=True, exist_ok=True)
    headsplat = (sys.executable, "-m", "avatar.cli")
    capture, video = str(folder / "clip.capture"), str(folder / "clip" / "video.mp4")
    made = check.run(
        "clip",
        (*headsplat, "synth", "-o", str(folder / "clip"), "--frames", "120", "--overwrite"),
        (
            *headsplat,
            "capture",
            video,
            "-o",
            capture,
            "--test-fraction",
            "0.2",
            "--overwrite",
        ),
    )
    for device in ("cpu", "cuda"):
        name, avatar = f"training on {device}", str(folder / f"{device}.avatar")
        if not made:
            check.leave_out(name, "there is no clip")
            continue
        train = (*headsplat, "train", capture, "-o", avatar, "--preset", "fast", "--device", device, "--overwrite")
        check.run(name, train)
        score = (*headsplat, "eval", avatar, capture, "--no-landmarks", "--device", device)
        check.run(f"scores of {device}", score)
    if not made:
        return
    trace = str(check.report.with_suffix(".trace.json"))
    profile = (sys.executable, "-m", "tests.bench.step_profile", capture, "--device", "cuda", "-o", trace)
    check.run("profile of training steps", profile)
    large = ("--preset", "gpu", "--device", "cuda", "--max-seconds", "60", "--overwrite")
    check.run("the preset gpu for a minute", (*headsplat, "train", capture, "-o", str(folder / "gpu.avatar"), *large))


def main(arguments: Sequence[str] | None = None, parts: Sequence[Callable[[Check], None]] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels: gsplat and what it needs besides torch")
    parser.add_argument("--report", type=Path, default=ROOT / "gpu-report.md")
    options = parser.parse_args(arguments)
    if parts is None:
        import torch

        if not torch.cuda.is_available():
            print(NO_GPU, file=sys.stderr)
            return NOTHING_TO_DO
        parts = (
            machine, build_kernels, lambda check: install_wheels(check, options.wheels), self_check, tests,
            sanitize, benchmark, training,
        )  # fmt: skip
    check = Check(options.report)
    for part in parts:
        part(check)
    return FAILED if any(outcome.failed for outcome in check.outcomes) else PASSED


if __name__ == "__main__":
    sys.exit(main())
