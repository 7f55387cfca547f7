"""Cost of an avatar at run time: speed of rendering and memory."""

from __future__ import annotations

import sys
import time

import numpy as np

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.rendering.animator import render_track
from avatar.rendering.backends import Rasterizer

FRAMES = 30


def frames_per_second(avatar: Avatar, capture: Capture, size: int, rasterizer: Rasterizer) -> float:
    """Frames per second from expression weights to the bytes of an image, one frame at a time (median).

    Args:
        avatar: the avatar.
        capture: its held-out frames are rendered.
        size: longer side of the images, pixels.
        rasterizer: rasterizer that renders the avatar.
    """
    rows = np.resize(capture.test_indices, FRAMES)
    images = render_track(avatar, capture.params(rows), capture.camera(size, rows), rasterizer=rasterizer)
    seconds = []
    for _ in range(FRAMES):
        start = time.perf_counter()
        next(images)
        seconds.append(time.perf_counter() - start)
    return float(1 / np.median(seconds))


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB; nan where the platform does not report it."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
