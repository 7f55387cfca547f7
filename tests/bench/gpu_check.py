"""Everything that needs a GPU, in one go and one report: `make gpu-check`. Needs no network.

    python -m tests.bench.gpu_check [--wheels FOLDER] [--report gpu-report.md]

Builds the kernels, runs the self-check and the tests marked gpu, trains a clip on both devices, measures frames with
and without graphs, kernels beside the limits of the device, and the benchmark with gsplat beside it where it is
installed or its wheels lie in FOLDER, and runs small cases under compute-sanitizer. It takes eight minutes at most:
parts are in order of what they are worth, each has its share, and what is left out is said. Goes on after a failure.
Exit code 0: everything passed, 1: something failed, 2: no GPU here.
"""

from __future__ import annotations

import argparse
import json
import math
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
SECONDS = 480  # of everything
SCORES_ALIKE = 0.2  # dB between the scores of avatars that two devices trained
COUNTS, SIZES, BATCHES = ("50000", "100000", "200000", "400000"), ("512", "1024"), ("1", "8", "64")
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
    deadline: float = math.inf  # time.monotonic() at which the part that runs must end
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, name: str, *commands: Sequence[str], **environment: str) -> bool:
        """Run `commands` until one fails; whether none did."""
        print(f"gpu-check: {name}", file=sys.stderr, flush=True)
        started, output, result = time.monotonic(), "", "passed"
        for command in commands:
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env={**self.environment, **environment}, timeout=self.left, check=False,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                )  # fmt: skip
            except subprocess.TimeoutExpired as late:
                output += _text(late.stdout)
                result = f"failed: not done after {time.monotonic() - started:.0f} s"
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

    @property
    def left(self) -> float | None:
        """Seconds of the part that runs; None: any number."""
        return None if math.isinf(self.deadline) else max(0.1, self.deadline - time.monotonic())

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


def gpu_tests(check: Check) -> None:
    """Every test marked gpu; that there are none is a failure too."""
    check.run("tests", (sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"))


def benchmark(check: Check) -> None:
    """`headsplat bench`, its numbers beside the report."""
    numbers = str(check.report.with_suffix(".json"))
    command = (sys.executable, "-m", "avatar.cli", "bench", "--device", "cuda", "-o", numbers, "--overwrite")
    grid = ("--counts", *COUNTS, "--sizes", *SIZES, "--batches", *BATCHES, "--sh", "0", "--bases", "20")
    check.run("benchmark", (*command, *grid))


def roofline(check: Check) -> None:
    """The kernels of a training step beside what the device could do."""
    check.run("kernels and the limits of the device", (sys.executable, "-m", "tests.bench.roofline"))


def frame_rates(check: Check) -> None:
    """Frames per second of the window's images, with and without graphs."""
    folder = BUILD / "training"
    avatar, capture = folder / "cuda.avatar", folder / "clip.capture"
    if not avatar.is_file():
        check.leave_out("frames per second", "there is no avatar")
        return
    command = (sys.executable, "-m", "tests.bench.bench_graph", str(avatar), str(capture), "--device", "cuda")
    check.run("frames per second", command)


def self_check(check: Check) -> None:
    """The table of `headsplat doctor --device cuda`."""
    check.run("self-check", (sys.executable, "-m", "avatar.cli", "doctor", "--device", "cuda"))


def training(check: Check) -> None:
    """The demo's clip trained and scored on both devices."""
    folder = BUILD / "training"
    folder.mkdir(parents=True, exist_ok=True)
    headsplat = (sys.executable, "-m", "avatar.cli")
    capture, video = str(folder / "clip.capture"), str(folder / "clip" / "video.mp4")
    draw = (*headsplat, "synth", "-o", str(folder / "clip"), "--frames", "120", "--overwrite")
    track = (*headsplat, "capture", video, "-o", capture, "--test-fraction", "0.2", "--overwrite")
    made = check.run("clip", draw, track)
    for device in ("cuda", "cpu"):
        name, avatar = f"training on {device}", str(folder / f"{device}.avatar")
        if not made:
            check.leave_out(name, "there is no clip")
            continue
        train = (*headsplat, "train", capture, "-o", avatar, "--preset", "fast", "--device", device, "--overwrite")
        check.run(name, train)
        score = (*headsplat, "eval", avatar, capture, "--no-landmarks", "--device", device)
        check.run(f"scores of {device}", (*score, "--json", str(folder / f"{device}.json"), "--overwrite"))
    if made:
        check.add(same_scores(folder / "cpu.json", folder / "cuda.json"))


def same_scores(cpu: Path, cuda: Path) -> Outcome:
    """Whether avatars that both devices trained have the same held-out PSNR, and what it is."""
    name = "the same score"
    try:
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in (cpu, cuda)]
        names = [key for key, row in rows[0].items() if isinstance(row, dict) and "psnr" in row]
        pairs = {key: [float(of_device[key]["psnr"]) for of_device in rows] for key in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Outcome(name, f"failed: there are not two scores ({error})", 0.0, "")
    text = "".join(
        f"{key}: {one:.2f} dB on the CPU, {other:.2f} dB on the GPU\n" for key, (one, other) in pairs.items()
    )
    apart = max((abs(one - other) for one, other in pairs.values()), default=math.inf)
    result = "passed" if apart <= SCORES_ALIKE else f"failed: {apart:.2f} dB apart"
    return Outcome(name, result, 0.0, text)


def large_training(check: Check) -> None:
    """A profile of steps, and the preset `gpu` for a minute."""
    capture = BUILD / "training" / "clip.capture"
    if not capture.is_dir():
        check.leave_out("the preset gpu for a minute", "there is no clip")
        return
    trace = str(check.report.with_suffix(".trace.json"))
    profile = (sys.executable, "-m", "tests.bench.step_profile", str(capture), "--device", "cuda", "-o", trace)
    large = ("--preset", "gpu", "--device", "cuda", "--max-seconds", "60", "--overwrite")
    train = (sys.executable, "-m", "avatar.cli", "train", str(capture), "-o", str(capture.with_name("gpu.avatar")))
    check.run("the preset gpu for a minute", (*train, *large))
    check.run("profile of training steps", profile)


@dataclass(frozen=True)
class Part:
    """A part of the check and its share of the time."""

    run: Callable[[Check], None]
    least: float  # seconds; with less left it is left out
    most: float


#: In order of what they are worth. The least are those that a part needs to say anything.
PARTS = (
    Part(machine, 5, 30),
    Part(build_kernels, 20, 150),
    Part(self_check, 5, 30),
    Part(gpu_tests, 10, 90),
    Part(training, 40, 120),
    Part(frame_rates, 5, 20),
    Part(roofline, 5, 20),
    Part(benchmark, 20, 90),
    Part(large_training, 30, 80),
    Part(sanitize, 20, 120),
)


def run_parts(check: Check, parts: Sequence[Part], seconds: float) -> None:
    """Run parts in order, in `seconds` altogether."""
    end = time.monotonic() + seconds
    for part in parts:
        left = end - time.monotonic()
        if left < part.least:
            name = part.run.__name__.replace("_", " ")
            check.leave_out(name, f"{max(0, left):.0f} s of {seconds:.0f} s were left, and it needs {part.least:.0f} s")
            continue
        check.deadline = time.monotonic() + min(left, part.most)
        part.run(check)


def main(arguments: Sequence[str] | None = None, parts: Sequence[Part] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels: gsplat and what it needs besides torch")
    parser.add_argument("--report", type=Path, default=ROOT / "gpu-report.md")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of everything; default: {SECONDS}")
    options = parser.parse_args(arguments)
    if parts is None:
        import torch

        if not torch.cuda.is_available():
            print(NO_GPU, file=sys.stderr)
            return NOTHING_TO_DO
        wheels = Part(lambda check: install_wheels(check, options.wheels), 5, 60)
        parts = (*PARTS[:2], wheels, *PARTS[2:])
    check = Check(options.report)
    run_parts(check, parts, options.seconds)
    return FAILED if any(outcome.failed for outcome in check.outcomes) else PASSED


if __name__ == "__main__":
    sys.exit(main())
