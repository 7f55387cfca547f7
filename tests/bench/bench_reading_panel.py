"""Benchmark of the window's reading of a face: milliseconds of processor time a frame.

    python -m tests.bench.bench_reading_panel [MOTION] [--frames 3000]

Without a motion it reads random weights that change in every frame. "read" is what the session computes for the panel,
with the list of contributions twice a second and where the label changes (with random weights in most frames); "panel"
are the calls that draw it, without the graphics card.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from imgui_bundle import imgui

from avatar.driving.live.samples import AvatarPose
from avatar.head.arkit import ARKIT_52
from avatar.motion.files import read_motion
from avatar.motion.files.names import ARKIT
from avatar.types import JOINT_NAMES, HeadParams, Motion
from viewer.gui.panels.wings.reading import reading_panel
from viewer.session.pose_sources import MotionPoseSource
from viewer.session.reading import FaceReader
from viewer.session.state import TIMELINE, AvatarInfo, FaceReading, SourceChoice, State, Timeline

_RATE = 60.0
_PARAMS = ((1,), (1, 1), (1, len(JOINT_NAMES), 3), (1, 3))  # shapes; they are not read


class _Motion(MotionPoseSource):
    """A motion that is read, and not retargeted to an avatar."""

    def __init__(self, motion: Motion) -> None:
        self.motion = motion
        self.times = tuple((motion.time - motion.time[0]).tolist())


def random_motion(frames: int) -> Motion:
    """Ten of the weights are not 0 in each frame, and the head turns."""
    rng = np.random.default_rng(0)
    weights = rng.random((frames, len(ARKIT_52))) * (rng.random((frames, len(ARKIT_52))) < 0.2)
    rotations = torch.zeros(frames, len(JOINT_NAMES), 3)
    time = torch.arange(frames, dtype=torch.float64) / _RATE
    rotations[:, 0, 0] = 0.2 * torch.sin(2 * torch.pi * 1.5 * time)
    return Motion(time, ARKIT_52, torch.as_tensor(weights).float(), ARKIT, rotations, torch.zeros(frames, 3))


def measure(motion: Motion) -> dict[str, list[float]]:
    """Milliseconds of each frame."""
    source, reader = _Motion(motion), FaceReader()
    reader.wanted = True
    state = State(AvatarInfo("", 0, 0, (), ()), (SourceChoice(TIMELINE, ""),), TIMELINE)
    pose = AvatarPose(HeadParams(*(torch.zeros(shape) for shape in _PARAMS)), fresh=True)
    found: dict[str, list[float]] = {"read": [], "panel": []}
    for now in source.times:
        state_now = State(
            state.avatar, state.sources, TIMELINE, timeline=Timeline("", source.times, source.times[-1], now)
        )
        began = time.thread_time()
        reading = reader.read(source, pose, state_now, now)
        read = time.thread_time()
        _draw(State(state.avatar, state.sources, TIMELINE, reading=reading or FaceReading()))
        found["read"].append(1e3 * (read - began))
        found["panel"].append(1e3 * (time.thread_time() - read))
    return found


def _draw(state: State) -> None:
    imgui.new_frame()
    imgui.set_next_window_size(imgui.ImVec2(282, 800))
    imgui.begin("panel")
    list(reading_panel(state))
    imgui.end()
    imgui.render()


def main() -> None:
    """Print median, 95 and 99 percent, and the largest; the first frame loads what the others use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=3000)
    arguments = parser.parse_args()
    motion = random_motion(arguments.frames) if arguments.motion is None else read_motion(arguments.motion)
    imgui.set_current_context(imgui.create_context())
    io = imgui.get_io()
    io.display_size, io.backend_flags = imgui.ImVec2(400, 900), imgui.BackendFlags_.renderer_has_textures
    io.set_ini_filename("")
    for name, times in measure(motion[: arguments.frames]).items():
        p50, p95, p99 = np.percentile(times[1:], [50, 95, 99])
        print(f"{name}: {len(times) - 1} frames, ms p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f}, "
              f"mean {np.mean(times[1:]):.2f}, worst {max(times[1:]):.2f}; first {times[0]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
