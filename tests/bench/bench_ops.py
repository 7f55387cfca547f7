"""Times the native operations on a synthetic head shell: `python -m tests.bench.bench_ops [--threads N]`."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

import cuda_ext
from avatar import ops
from avatar.records import Camera

RADII = torch.tensor([0.078, 0.115, 0.098])  # metres, of the ellipsoid
SIZES = ((10_000, 256), (15_000, 256), (30_000, 512), (50_000, 512))


def head_shell(count: int) -> tuple[Tensor, ...]:
    """Flat splats over a bumpy ellipsoid one metre away, as wide as their spacing: means ... colors of `ops.splat`."""
    source = torch.Generator().manual_seed(1)
    normal = torch.randn(count, 3, generator=source)
    outward = torch.nn.functional.normalize(normal, dim=-1)
    bump = 1 + 0.06 * (9 * outward[:, :1]).sin() * (11 * outward[:, 1:2]).sin()
    spacing = math.sqrt(4 * math.pi * float(RADII.prod()) ** (2 / 3) / count)
    size = 0.6 * spacing * torch.exp(0.45 * torch.randn(count, 1, generator=source))
    scales = size * torch.cat(
        [torch.exp(0.35 * torch.randn(count, 2, generator=source)), torch.full((count, 1), 0.25)], 1
    )
    axis = torch.nn.functional.normalize(outward / RADII, dim=-1)
    quats = torch.stack([1 + axis[:, 2], -axis[:, 1], axis[:, 0], torch.zeros(count)], -1)
    opacities = 0.05 + 0.94 * torch.rand(count, generator=source)
    means = outward * RADII * bump - torch.tensor([0.0, 0.0, 1.0])
    return tuple(value[None] for value in (means, quats, scales, opacities, torch.rand(count, 3, generator=source)))


def milliseconds(call: Callable[[], object], repeats: int) -> str:
    """Least and median of `repeats` runs after five to warm up."""
    times = []
    for _ in range(repeats + 5):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    times = sorted(times[5:])
    return f"{times[0]:6.2f} {times[len(times) // 2]:6.2f}"


def bench_splat(count: int, size: int, repeats: int) -> None:
    inputs = head_shell(count)
    camera = Camera.facing(3.4 * size, size, size)
    leaves = [value.clone().requires_grad_() for value in inputs]
    out = ops.splat(*leaves, camera)
    pull = [torch.randn_like(out.rgb), torch.randn_like(out.alpha)]
    forward = milliseconds(lambda: ops.splat(*inputs, camera), repeats)
    backward = milliseconds(lambda: torch.autograd.grad([out.rgb, out.alpha], leaves, pull, retain_graph=True), repeats)
    print(f"splat {count:6d} at {size}: forward {forward}, backward {backward} ms (least, median)")


def bench_others(repeats: int) -> None:
    first, second = torch.rand(1, 512, 512, 3, requires_grad=True), torch.rand(1, 512, 512, 3)
    print(f"ssim 512x512 with gradient: {milliseconds(lambda: ops.ssim(first, second), repeats)} ms")
    param, grad, m, v = (torch.rand(1_000_000) for _ in range(4))
    step = milliseconds(lambda: ops.adam_step(param, grad, m, v, 1e-3, 0.9, 0.99, 1e-8, 1), repeats)
    print(f"adam_step of a million: {step} ms")
    base, basis, weights = torch.rand(15_000, 10), torch.rand(20, 15_000, 10), torch.rand(1, 20)
    print(f"blend 15000 x 10, K 20: {milliseconds(lambda: ops.blend(base, basis, weights), repeats)} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=cuda_ext.threads())
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)  # idle threads of PyTorch would spin beside the kernels'
    cuda_ext.set_threads(options.threads)
    print(cuda_ext.reason("cpu"))
    for count, size in SIZES:
        bench_splat(count, size, options.repeats)
    bench_others(options.repeats)


if __name__ == "__main__":
    main()
