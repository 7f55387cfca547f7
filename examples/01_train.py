"""Train an avatar from a phone video, and score it on the frames that training did not use.

python examples/01_train.py selfie.mp4 -o me.avatar
"""

from __future__ import annotations

import argparse
from pathlib import Path

from avatar import TrainConfig, evaluate, fit, load_head, save_avatar
from capture import CaptureOptions, run_capture

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("video", type=Path)
parser.add_argument("-o", "--out", type=Path, default=Path("me.avatar"))
parser.add_argument("--size", type=int, default=512, help="longer side of the training images, pixels")
parser.add_argument("--gaussians", type=int, default=30000)
parser.add_argument("--steps", type=int, default=3800)
arguments = parser.parse_args()

folder = arguments.out.with_suffix(".capture")
capture = run_capture(arguments.video, folder, CaptureOptions(test_fraction=0.2))  # continues where it was interrupted
config = TrainConfig(size=arguments.size, gaussians=arguments.gaussians, steps=arguments.steps)
result = fit(capture, load_head(), config, progress=lambda state: print(f"{state.fraction:4.0%} {state.psnr:.1f} dB"))
save_avatar(arguments.out, result.avatar)
print(result.report.to_text())
print(evaluate(result.avatar, capture, size=arguments.size).to_markdown())
