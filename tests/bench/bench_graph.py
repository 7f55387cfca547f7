"""Frames per second of the window's images on a device, with and without CUDA graphs.

    python -m tests.bench.bench_graph AVATAR CAPTURE --device cuda [--sizes 512 1024] [--frames 600]

From parameters on the CPU to an image there, one after another, without the tracker and the display.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.types import HeadParams
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewSettings

WARM_UP = 10  # frames
OFF = "switched off by the benchmark"


def frame_rate(renderer: Renderer, params: HeadParams, size: int, frames: int, graphs: bool) -> tuple[float, str]:
    """Frames per second, and what kept them from being graphs.

    Args:
        renderer: on any device.
        params: T frames, shown in turn.
        size: of the images, pixels.
        frames: to measure.
        graphs: whether frames may be graphs.
    """
    view, camera = ViewSettings(), renderer.front(size, size)
    started = 0.0
    for frame in range(WARM_UP + frames):
        renderer.render(params[frame % len(params)], camera, view)
        graph = renderer.frame_graph(camera, view)
        if graph is not None and not graphs:
            graph.problem = OFF
        if frame == WARM_UP - 1:
            started = time.perf_counter()
    problem = "no GPU" if graph is None else graph.problem
    return frames / (time.perf_counter() - started), problem


def report(avatar: Avatar, params: HeadParams, device: torch.device, sizes: list[int], frames: int) -> str:
    """A table of both."""
    lines = ["| size | one by one, fps | graph, fps | |", "|---|---|---|---|"]
    for size in sizes:
        plain, _ = frame_rate(Renderer(avatar, device=device), params, size, frames, graphs=False)
        graphed, problem = frame_rate(Renderer(avatar, device=device), params, size, frames, graphs=True)
        lines.append(f"| {size} | {plain:.0f} | {graphed:.0f} | {problem} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--frames", type=int, default=600)
    options = parser.parse_args(arguments)
    capture = Capture.load(options.capture)
    params = capture.params(range(len(capture)))
    print(report(load_avatar(options.avatar), params, torch.device(options.device), options.sizes, options.frames))


if __name__ == "__main__":
    main()
