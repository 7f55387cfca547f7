"""Drive an avatar by a pose source of your own, through the live pipeline: smoothing, calibration, retargeting.

This one rests for a second, then nods with an opening mouth. docs/guides/python.md shows it in the live window.

python examples/05_custom_pose_source.py me.avatar -o nod.mp4 --frames 120
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from avatar import Animator, Camera, load_avatar, open_output
from capture.live import LiveOptions, LivePipeline, Sample


class Nodding:
    name, count = "nodding", 0

    def latest(self) -> Sample:
        seconds, self.count = self.count / 30, self.count + 1
        swing = 0.5 - 0.5 * math.cos(3 * max(seconds - 1.2, 0))  # 0..1
        joint_rot = np.zeros((5, 3), np.float32)  # root, neck, jaw, eyes: axis-angle radians
        joint_rot[0, 0] = 0.2 * swing
        weights, position = np.array([0.7 * swing], np.float32), np.zeros(3, np.float32)
        return Sample(seconds, ("jawOpen",), "arkit52", weights, joint_rot, position, 1.0, source_time=seconds)

    start = stop = lambda self: None
    earlier, stats = lambda self: (), lambda self: {"received": self.count}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("avatar", type=Path)
parser.add_argument("-o", "--out", type=Path, default=Path("nod.mp4"))
parser.add_argument("--frames", type=int, default=120)
parser.add_argument("--size", type=int, default=512, help="of the video, pixels")
arguments = parser.parse_args()

avatar = load_avatar(arguments.avatar)
pipeline = LivePipeline(avatar, Nodding(), LiveOptions(clock="source"))  # timed by source_time, faster than real time
animator = Animator(avatar, arguments.size, arguments.size)
camera = Camera.facing(focal=2 * arguments.size, width=arguments.size, height=arguments.size)
pipeline.start()
with open_output(arguments.out, 30) as video:
    for _ in range(arguments.frames):
        video.add(animator.render(pipeline.latest().params, camera).numpy().copy())
