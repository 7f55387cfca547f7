"""Inputs of a rendering: the capture an avatar was trained on, its camera, and resampled parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from avatar.common.files import path_text
from avatar.data.capture_folder import Capture
from avatar.motion import edit
from avatar.motion.edit import check_increasing
from avatar.types import Camera, HeadParams, Motion


def capture_entry(capture: Capture) -> dict[str, Any]:
    """The entry `capture` of an avatar's header: fingerprint and camera of the capture it was trained on."""
    metadata = capture.metadata
    return {
        "name": path_text(capture.root.name),
        "fingerprint": capture.fingerprint,
        "width": metadata["width"],
        "height": metadata["height"],
        "camera": metadata["cameras"][0],
    }


def is_trained_on(header: Mapping[str, Any], capture: Capture) -> bool:
    """Whether the avatar with this header was trained on `capture`."""
    return bool(header.get("capture", {}).get("fingerprint") == capture.fingerprint)


def stored_camera(entry: Mapping[str, Any]) -> Camera:
    """The camera [1] of the entry `capture` of an avatar's header (`capture_entry`)."""
    K, world_to_cam = (torch.tensor(entry["camera"][name], dtype=torch.float32) for name in ("K", "world_to_cam"))
    return Camera(K[None], world_to_cam[None], entry["width"], entry["height"])


def following_camera(capture: Capture, times: np.ndarray) -> Camera:
    """The first camera of a capture, [T] as its window follows the head at `times` [T] seconds, or [1] if it does not.

    The principal point is interpolated between frames.
    """
    camera = stored_camera(capture_entry(capture))
    rows = np.flatnonzero(capture.track["camera"] == 0)
    known = capture.track["time"][rows]
    centers = capture.track["principal_point"][rows]
    if not len(rows) or not np.ptp(centers, axis=0).any():
        return camera
    K = camera.K.repeat(len(times), 1, 1)
    for axis in (0, 1):
        K[:, axis, 2] = torch.from_numpy(np.interp(times, known, centers[:, axis])).float()
    return replace(camera, K=K, world_to_cam=camera.world_to_cam.repeat(len(times), 1, 1))


def resample(params: HeadParams, times: np.ndarray, rate: float) -> tuple[HeadParams, np.ndarray]:
    """Resample head parameters to a constant frame rate, with the interpolation of `avatar.motion.edit.resample`.

    Args:
        params: T frames.
        times: [T] seconds, increasing.
        rate: frames per second.

    Returns:
        Parameters of n frames and their times [n], from the first to at most the last time.
    """
    if len(times) < 2:
        return params, times
    check_increasing(times, "--fps: the track's times do not increase; capture the video again")
    names = tuple(str(column) for column in range(params.expression.shape[1]))
    time = torch.from_numpy(np.asarray(times, np.float64))
    motion = edit.resample(
        Motion(time, names, params.expression, "the avatar's", params.joint_rot, params.translation), rate
    )
    resampled = replace(params, expression=motion.weights, joint_rot=motion.joint_rot, translation=motion.translation)
    return resampled, motion.time.numpy()
