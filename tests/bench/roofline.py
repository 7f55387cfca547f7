"""How near each kernel of a training step is to what the device could do.

    python -m tests.bench.roofline [--device cuda] [--count 100000] [--size 512] [--batches 1 8]

Bytes and floating-point operations are counted from the shapes: each array is read or written once, blended pixels are
counted as if none were cut off early. So a share of 100 % cannot be reached, and a low one says where time may be won.
Peak and bandwidth follow from the device's attributes, as the driver states them.
"""

from __future__ import annotations

import argparse
import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from avatar.bench.scene import head_scene
from avatar.bench.stages import RenderPath, TrainingStep
from avatar.bench.timing import CPU_EFFORT, CUDA_EFFORT, Timing, split
from avatar.model.blendshapes import CHANNELS

#: Attributes of the driver (cuDeviceGetAttribute): kHz, kHz, bits, multiprocessors, compute capability.
CLOCK, MEMORY_CLOCK, BUS_WIDTH, PROCESSORS, MAJOR, MINOR = 13, 36, 37, 16, 75, 76
LOCAL = 14  # numbers of a Gaussian: position 3, rotation 4, scales 3, opacity 1, color 3
PROJECTED = 64  # bytes of a projected Gaussian
TILE = 256  # pixels


@dataclass(frozen=True)
class Shape:
    """What a step works on."""

    count: int  # Gaussians N
    bases: int  # K
    size: int  # pixels of a side
    batch: int  # images B
    intersections: int  # of Gaussians and tiles, of the batch

    @property
    def gaussians(self) -> int:
        return self.batch * self.count

    @property
    def pixels(self) -> int:
        return self.batch * self.size**2


@dataclass(frozen=True)
class Work:
    """What a kernel moves and computes."""

    bytes: float
    flops: float


@dataclass(frozen=True)
class Peak:
    """What a device can do."""

    bandwidth: float  # bytes/s
    flops: float  # float32 operations/s

    def seconds(self, work: Work) -> float:
        """The least time that this takes."""
        return max(work.bytes / self.bandwidth, work.flops / self.flops)


def _sorts(values: int, bits: int) -> float:
    """Bytes of a radix sort of pairs of 32 bits, 8 bits a pass."""
    return math.ceil(bits / 8) * 16 * values


def _forward(s: Shape) -> Work:
    tiles = s.batch * math.ceil(s.size / 16) ** 2
    sorts = _sorts(s.gaussians, 32) + _sorts(s.intersections, max(1, tiles.bit_length()))
    images = 16 * s.pixels  # color and alpha
    projected = s.gaussians * (4 * LOCAL + PROJECTED)
    return Work(projected + sorts + s.intersections * (PROJECTED + 4) + images,
                150 * s.gaussians + 20 * TILE * s.intersections)  # fmt: skip


def _backward(s: Shape) -> Work:
    partials = 2 * 40 * s.intersections  # written, then summed up for each Gaussian
    images = (16 + 16) * s.pixels
    return Work(s.intersections * (PROJECTED + 4) + partials + images + 2 * 4 * LOCAL * s.gaussians,
                300 * s.gaussians + 45 * TILE * s.intersections)  # fmt: skip


#: By the names of the native functions.
WORK: Mapping[str, Callable[[Shape], Work]] = {
    "blend": lambda s: Work(
        4 * (s.bases * s.count * CHANNELS + s.gaussians * CHANNELS), 2 * s.bases * s.gaussians * CHANNELS
    ),
    "deform": lambda s: Work(4 * (LOCAL * s.count + (CHANNELS + LOCAL) * s.gaussians), 40 * s.gaussians),
    "bind": lambda s: Work(s.count * 40 + s.gaussians * (4 * 10 + 4 * 10), 250 * s.gaussians),
    "splat_forward": _forward,
    "photometric": lambda s: Work(36 * s.pixels, 1100 * s.pixels),
    "splat_backward": _backward,
    "bind_backward": lambda s: Work(s.count * 40 + s.gaussians * (4 * 20 + 4 * 10), 500 * s.gaussians),
    "deform_backward": lambda s: Work(
        4 * (LOCAL * s.count + (2 * LOCAL + 2 * CHANNELS) * s.gaussians), 60 * s.gaussians
    ),
    "adam_step": lambda s: Work(7 * 4 * LOCAL * s.count, 15 * LOCAL * s.count),
    "adam_outer_step": lambda s: Work(
        4 * (6 * s.bases * s.count * CHANNELS + s.gaussians * CHANNELS),
        (2 * s.batch + 15) * s.bases * s.count * CHANNELS,
    ),
}


def peak_of(attribute: Callable[[int], int]) -> Peak:
    """The peak of a GPU: two operations a core and clock, and two transfers a memory clock.

    Args:
        attribute: value of an attribute of the driver.
    """
    cores = 64 if (attribute(MAJOR), attribute(MINOR)) == (8, 0) else 128
    clock, memory_clock = 1e3 * attribute(CLOCK), 1e3 * attribute(MEMORY_CLOCK)
    return Peak(2 * memory_clock * attribute(BUS_WIDTH) / 8, 2 * clock * cores * attribute(PROCESSORS))


def driver_attribute(index: int) -> Callable[[int], int]:
    """The attributes of the GPU `index`, from the driver; raises OSError without one."""
    driver = ctypes.CDLL("libcuda.so.1")
    if driver.cuInit(0):
        raise OSError("the CUDA driver does not start")

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        if driver.cuDeviceGetAttribute(ctypes.byref(value), number, index):
            raise OSError(f"the CUDA driver does not know attribute {number}")
        return value.value

    return attribute


def table(shape: Shape, times: Mapping[str, Timing], peak: Peak | None) -> str:
    """A row for each kernel: milliseconds, work, and the share of the device's limit that it reaches."""
    rows = [["kernel", "ms", "MB", "GFLOP", "share of the limit", "limited by"], ["---"] * 6]
    for name, timing in times.items():
        if name not in WORK:
            rows.append([name, f"{timing.median:.3f}", "", "", "", "not counted"])
            continue
        work = WORK[name](shape)
        share, limit = "", "unknown"
        if peak is not None:
            least = peak.seconds(work)
            share = f"{1e5 * least / timing.median:.0f} %" if timing.median else ""
            limit = "memory" if work.bytes / peak.bandwidth >= work.flops / peak.flops else "arithmetic"
        rows.append([name, f"{timing.median:.3f}", f"{work.bytes / 1e6:.2f}", f"{work.flops / 1e9:.3f}", share, limit])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def measured(count: int, size: int, batch: int, device: torch.device) -> tuple[Shape, dict[str, Timing]]:
    """The kernels of one training step of the benchmark's scene."""
    scene = head_scene(count, size, 20, 0).repeated(batch).to(device)
    path = RenderPath(scene)
    path()
    shape = Shape(count, 20, size, batch, path.buffers.intersections())
    return shape, split(TrainingStep(scene), device, CPU_EFFORT if device.type == "cpu" else CUDA_EFFORT)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    peak = peak_of(driver_attribute(device.index or 0)) if device.type == "cuda" else None
    if peak is not None:
        print(f"limits: {peak.bandwidth / 1e9:.0f} GB/s, {peak.flops / 1e12:.1f} TFLOP/s in float32\n")
    for batch in options.batches:
        shape, times = measured(options.count, options.size, batch, device)
        print(
            f"{shape.count} Gaussians, {shape.size} pixels, batch {batch}, {shape.intersections} tile intersections\n"
        )
        print(table(shape, times, peak))


if __name__ == "__main__":
    main()
