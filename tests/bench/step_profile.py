"""Where the time of training steps goes: PyTorch's profiler around a few steps, a table and a trace.

    python -m tests.bench.step_profile CAPTURE --device cuda -o trace.json

The trace opens in chrome://tracing and in Perfetto. On a GPU the table is sorted by the time of its kernels.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from avatar.common.toml_config import load_preset
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.ops.devices import chosen_device
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.trainer import Trainer

WARM_UP, ROWS = 10, 25
#: Fraction of the schedule of the profiled steps: at full size, after the refinement.
FRACTION = 0.8


def profiled(capture: Capture, config: TrainConfig, device: torch.device, steps: int) -> profile:
    """The profile of `steps` training steps after a few others."""
    person = bake_identity(load_head(), capture.params(capture.train_indices[:1]).identity)
    frames = load_frames(capture, capture.train_indices, config.size, person)
    trainer = Trainer(build_avatar(person, frames, config), frames, config, device=device)
    trainer.initialize()
    for _ in range(WARM_UP):
        trainer.step(FRACTION)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=kinds) as found:
        for _ in range(steps):
            trainer.step(FRACTION)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, help="of the images, pixels; default: that of the preset")
    parser.add_argument("-o", "--output", type=Path, help="file of the trace")
    options = parser.parse_args(arguments)
    config = load_preset(options.preset, TrainConfig())
    config = replace(config, size=options.size or config.size)
    device = chosen_device(options.device)
    found = profiled(Capture.load(options.capture), config, device, options.steps)
    order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(found.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=60))
    if options.output is not None:
        found.export_chrome_trace(str(options.output))


if __name__ == "__main__":
    main()
