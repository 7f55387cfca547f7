"""Drive an avatar frame by frame, as a game or a network source would, and write the images.

python examples/02_drive_frame_by_frame.py me.avatar take.csv -o frames
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from avatar import Animator, Camera, Driver, load_avatar, read_motion
from avatar.common.image_io import write_image

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("avatar", type=Path)
parser.add_argument("motion", type=Path, help="a file stands in for your source")
parser.add_argument("-o", "--out", type=Path, default=Path("frames"))
parser.add_argument("--size", type=int, default=512, help="of the images, pixels")
arguments = parser.parse_args()

avatar, motion = load_avatar(arguments.avatar), read_motion(arguments.motion)
camera = Camera.facing(focal=2 * arguments.size, width=arguments.size, height=arguments.size)
animator = Animator(avatar, camera.width, camera.height)
driver = Driver.of(avatar, motion.names, motion.space)
arguments.out.mkdir(parents=True, exist_ok=True)
for frame in range(len(motion)):
    if frame == 30:  # after a second: that face is the resting one
        driver = driver.calibrated(motion.weights[:30], motion.joint_rot[:30], motion.translation[:30])
    row = slice(frame, frame + 1)
    params = driver(motion.weights[row], motion.joint_rot[row], motion.translation[row])
    image = animator.render(params, camera).numpy()  # uint8 [H,W,3], overwritten by the next call
    write_image(arguments.out / f"{frame:05d}.png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
print(f"{arguments.out}: {len(motion)} images")
