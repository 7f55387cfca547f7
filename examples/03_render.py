"""Render an avatar along a motion file: a transparent video, and depth as numbered images.

python examples/03_render.py me.avatar take.csv -o take.mov
"""

from __future__ import annotations

import argparse
from pathlib import Path

from avatar import drive, load_avatar, open_output, read_motion, resample
from avatar.rendering.cameras import front_camera, subject_of
from avatar.rendering.settings import Background, RenderSettings
from avatar.video.offline_render import RenderColumn, render_frames

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("avatar", type=Path)
parser.add_argument("motion", type=Path)
parser.add_argument("-o", "--out", type=Path, default=Path("take.mov"), help=".mov or .webm, which have alpha")
parser.add_argument("--size", type=int, default=512, help="of the video, pixels")
parser.add_argument("--fps", type=float, default=30)
arguments = parser.parse_args()

avatar = load_avatar(arguments.avatar)
take = drive(avatar, resample(read_motion(arguments.motion), arguments.fps))
print(take.report.to_text())
background = Background(transparent=True)
settings = RenderSettings(arguments.size, arguments.size, background=background, passes=("rgb", "depth"))
camera = front_camera(subject_of(avatar, take.params), settings.width, settings.height)
depth_folder = arguments.out.with_name(f"{arguments.out.stem}_depth")
with (
    open_output(arguments.out, arguments.fps, alpha=True) as video,
    open_output(depth_folder, arguments.fps, pass_name="depth") as depths,
):
    for images in render_frames([RenderColumn(avatar, take.params, camera)], settings):
        video.add(images["rgb"])  # uint8 [H,W,4], straight alpha
        depths.add(images["depth"])  # float32 [H,W], meters
