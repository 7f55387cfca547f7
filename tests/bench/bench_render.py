"""`headsplat render` from the command line: fps including encoding, memory, equal pixels, joined segments.

    python -m tests.bench.bench_render AVATAR MOTION [--frames 600] [--sizes 512 1024]

Each size is rendered twice in full, once with half the frames (for the growth of memory) and in two joined segments.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

RENDER = "import sys; from avatar.cli import main; sys.exit(main())"


def run(*arguments: object) -> tuple[float, float]:
    """Seconds and peak memory (MB) of one `headsplat` command; raises RuntimeError with its stderr."""
    start = time.monotonic()
    command = [sys.executable, "-c", RENDER, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(messages)
    return time.monotonic() - start, usage.ru_maxrss / 1024


def pixels(path: Path) -> tuple[int, str]:
    """Number of frames of a video and a hash of all its pixels."""
    digest, count = hashlib.sha256(), 0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray(format="yuv420p").tobytes())
            count += 1
    return count, digest.hexdigest()[:16]


def bench(avatar: Path, motion: Path, size: int, frames: int, folder: Path) -> dict[str, object]:
    """Measurements for one image size."""

    def render(name: str, span: str) -> tuple[Path, float, dict[str, float]]:
        out = folder / f"{name}_{size}.mp4"
        arguments = ("render", avatar, "--motion", motion, "--frames", span, "--size", f"{size}x{size}", "-o", out)
        _, peak = run(*arguments, "--overwrite")
        return out, peak, json.loads(out.with_name(f"{out.name}.report.json").read_text())

    full, peak, report = render("full", f"0:{frames}")
    again, _, second = render("again", f"0:{frames}")
    middle = frames // 2
    first, half_peak, _ = render("first", f"0:{middle}")
    last, _, _ = render("last", f"{middle}:{frames}")
    joined = folder / f"joined_{size}.mp4"
    run("join", first, last, "-o", joined, "--partial", "--overwrite")
    counts, hashes = zip(*map(pixels, (full, again, joined)), strict=True)
    rates = [entry["frames"] / entry["seconds_drawing"] for entry in (report, second)]
    return {
        "size": size,
        "frames": counts,
        "frames_a_second": [round(rate, 1) for rate in rates],
        "peak_mb": [round(half_peak), round(peak)],
        "second run the same": hashes[0] == hashes[1],
        "joined the same": hashes[0] == hashes[2],
        "bytes a frame": full.stat().st_size // frames,
    }


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("motion", type=Path)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            print(json.dumps(bench(given.avatar, given.motion, size, given.frames, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
