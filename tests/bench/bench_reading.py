"""Time that the reader of live frames takes, and the reading of an hour.

    python -m tests.bench.bench_reading

Frames are random walks of all weights. Printed are milliseconds of processor time a frame (median, 99th percentile,
largest), with and without contributions, and seconds and peak memory of an hour at 60 frames per second.
"""

from __future__ import annotations

import resource
import time

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from avatar.performance.readout.live import LiveReader
from avatar.performance.readout.report import TakeReport
from avatar.performance.readout.take import read_take
from avatar.types import Motion

FPS, LIVE_FRAMES, HOUR_FRAMES = 60.0, 3000, 216_000


def walk(frames: int, columns: int, step: float, seed: int = 0) -> np.ndarray:
    """Random walks [frames,columns] that stay within 0..1."""
    path = np.random.default_rng(seed).normal(0, step, (frames, columns)).cumsum(0)
    return np.abs((path + 1) % 2 - 1).astype(np.float32)


def main() -> None:
    weights, turns = walk(LIVE_FRAMES, 52, 0.02), 0.2 * walk(LIVE_FRAMES, 15, 0.02, 1).reshape(-1, 5, 3)
    for title, explained in (("read", False), ("read, with contributions", True)):
        reader, spent = LiveReader(), []
        for k in range(LIVE_FRAMES):
            start = time.process_time()
            reading = reader.read(ARKIT_52, weights[k], turns[k], k / FPS)
            if explained:
                reading.contributions()
            spent.append(1e3 * (time.process_time() - start))
        median, late = np.quantile(spent, [0.5, 0.99])
        print(f"{title}: median {median:.2f} ms, 99th percentile {late:.2f} ms, largest {max(spent):.2f} ms")
    count = HOUR_FRAMES
    motion = Motion(
        torch.arange(count, dtype=torch.float64) / FPS, ARKIT_52, torch.from_numpy(walk(count, 52, 0.005)), "arkit52",
        torch.from_numpy(0.2 * walk(count, 15, 0.01, 1).reshape(-1, 5, 3)), torch.zeros(count, 3),
    )  # fmt: skip
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    take = read_take(motion)
    events, read = len(take.events), time.process_time() - start
    report = TakeReport(take, "hour")
    size = sum(len(part) for part in report.json_parts())
    written, after = time.process_time() - start - read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more = f"{(after - before) / 1024:.0f} MB above the {before / 1024:.0f} MB with the motion"
    print(
        f"an hour: read in {read:.1f} s ({events} events), {size / 1e6:.0f} MB of JSON in {written:.1f} s; peak {more}"
    )


if __name__ == "__main__":
    main()
