"""The file that Chromium plays as a camera."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def write_y4m(path: Path, frames: Iterable[np.ndarray], rate: float) -> int:
    """Write images [H,W,3] uint8 of even size as an uncompressed video, and return their number.

    Args:
        path: in .y4m.
        frames: RGB.
        rate: frames per second.
    """
    count = 0
    with open(path, "wb") as file:
        for count, rgb in enumerate(frames, 1):
            height, width = rgb.shape[:2]
            if count == 1:
                file.write(f"YUV4MPEG2 W{width} H{height} F{round(1000 * rate)}:1000 Ip A1:1 C420mpeg2\n".encode())
            file.write(b"FRAME\n" + cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).tobytes())
    return count


def camera_options(path: Path) -> tuple[str, ...]:
    """Options of Chromium with which a page gets the video `path` as its camera, without asking."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={path}",
    )
