"""Latency, jitter, drift and memory of streamed speech: `python -m tests.bench.bench_stream [--seconds 600]`.

A voice is pushed in pieces of 20 ms as it would be said, and interrupted now and then, in real time. Printed are: from
a piece of sound to the frame that plays it, intervals of frames, the difference between the motion of the lips and the
sound in the first and in the last minute, and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.stream import SpeechStream
from avatar.performance.speech.visemes import CONTROLS
from tests.bench.bench_closures import SENTENCES
from tests.support.scripted_speech import lip_gap_of
from tools.weights import espeak

_PIECE = 0.02
_MOUTH = [column for columns in CONTROLS.values() for column in columns]
_LAGS = np.arange(-0.3, 0.3, 0.005)


@dataclass
class Run:
    """What was measured."""

    arrivals: list[float] = field(default_factory=list)  # seconds at which frames came
    latencies: list[float] = field(default_factory=list)  # seconds from the first piece of a turn to its first frame
    settled: list[float] = field(default_factory=list)  # seconds from an interruption to a mouth at rest
    jumps: list[float] = field(default_factory=list)  # largest change of a weight within a frame after it
    gaps: list[float] = field(default_factory=list)  # millimeters
    sounds: list[float] = field(default_factory=list)  # level of each frame's sound
    memory: list[float] = field(default_factory=list)  # MB, once a second


async def run(seconds: float, interruptions: int, fps: float) -> Run:
    """Speak for so many seconds."""
    found = Run()
    stream = SpeechStream(fps=fps)
    end = time.monotonic() + seconds
    pushed: dict[int, float] = {}

    async def speak() -> None:
        every = seconds / max(interruptions, 1)
        cut = time.monotonic() + every
        for number, sentence in enumerate(itertools.cycle(SENTENCES)):
            samples, rate, _ = espeak.synthesize(sentence, ("en-us", "en-us+f3", "gmw/en")[number % 3], 170)
            start = time.monotonic()
            count = round(_PIECE * rate)
            for index, at in enumerate(range(0, len(samples), count)):
                await asyncio.sleep(max(start + index * _PIECE - time.monotonic(), 0))
                pushed.setdefault(stream.push_audio(samples[at : at + count], rate), time.monotonic())
                if time.monotonic() > cut:
                    cut += every
                    stream.interrupt()
                    interrupted.append(time.monotonic())
                    break
            stream.end_segment()
            await asyncio.sleep(0.3)

    interrupted: list[float] = []
    speaker = asyncio.create_task(speak())
    seen: set[int] = set()
    before = np.zeros(len(ARKIT_52), np.float32)
    async for frame in stream:
        now = time.monotonic()
        found.arrivals.append(now)
        if frame.segment is not None and frame.segment not in seen:
            seen.add(frame.segment)
            found.latencies.append(now - pushed[frame.segment])
        if interrupted:
            found.jumps.append(float(np.abs(frame.weights - before)[_MOUTH].max()))
            if frame.weights[_MOUTH].max() < 0.01 or now - interrupted[0] > 0.5:
                found.settled.append(now - interrupted.pop(0))
        before = frame.weights
        found.gaps.append(lip_gap_of(frame.weights))
        found.sounds.append(float(np.sqrt(np.mean(frame.sound**2))))
        if frame.number % round(fps) == 0:
            found.memory.append(resident())
        if now > end:
            break
    speaker.cancel()
    return found


def lag(gaps: NDArray[np.float64], sounds: NDArray[np.float64], fps: float) -> float:
    """Seconds by which the opening of the lips follows the level of the sound best."""
    level = np.log10(sounds + 1e-3)
    times = np.arange(len(gaps)) / fps
    scores = [np.corrcoef(np.interp(times + shift, times, gaps), level)[0, 1] for shift in _LAGS]
    return float(_LAGS[int(np.argmax(scores))])


def resident(process: int | str = "self") -> float:
    """Memory of a process in MB."""
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--interruptions", type=int, default=50)
    parser.add_argument("--fps", type=float, default=60.0)
    options = parser.parse_args()
    found = asyncio.run(run(options.seconds, options.interruptions, options.fps))
    intervals = 1000 * np.diff(found.arrivals)
    latencies = 1000 * np.array(found.latencies)
    part = round(options.fps * min(60, options.seconds / 2))
    gaps, sounds = np.array(found.gaps), np.array(found.sounds)
    first, last = lag(gaps[:part], sounds[:part], options.fps), lag(gaps[-part:], sounds[-part:], options.fps)
    print(f"{len(found.arrivals)} frames, {len(latencies)} turns, {len(found.settled)} interruptions")
    print(f"sound to frame: median {np.median(latencies):.0f}, 95 % {np.quantile(latencies, 0.95):.0f}, "
          f"most {latencies.max():.0f} ms")  # fmt: skip
    print(f"between frames: median {np.median(intervals):.1f}, 99 % {np.quantile(intervals, 0.99):.1f}, "
          f"most {intervals.max():.1f} ms")  # fmt: skip
    if found.settled:
        print(f"interruption to rest: most {1000 * max(found.settled):.0f} ms, largest step {max(found.jumps):.2f}")
    print(f"lips after the sound: first {1000 * first:.0f}, last {1000 * last:.0f} ms")
    print(f"memory: {found.memory[0]:.0f} MB at first, {found.memory[-1]:.0f} MB at the end")


if __name__ == "__main__":
    main()
