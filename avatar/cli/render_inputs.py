"""Inputs of rendering: the head model and camera of a capture, head parameters at another frame rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.cli.arguments import EMBEDDED
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.motion import edit
from avatar.motion.edit import check_increasing
from avatar.types import Camera, HeadParams, Motion


def capture_entry(capture: Capture) -> dict[str, Any]:
    """The entry `capture` of an avatar's header: fingerprint and camera of the capture it was trained on."""
    metadata = capture.metadata
    return {
        "name": capture.root.name,
        "fingerprint": capture.fingerprint,
        "width": metadata["width"],
        "height": metadata["height"],
        "camera": metadata["cameras"][0],
    }


def is_trained_on(header: Mapping[str, Any], capture: Capture) -> bool:
    """Whether the avatar with this header was trained on `capture`."""
    return bool(header.get("capture", {}).get("fingerprint") == capture.fingerprint)


def head_of(capture: Capture, given: str | None = None) -> HeadModel:
    """The head model with which `capture` was tracked: `given`, or the one that the capture's metadata names.

    Raises:
        HeadsplatError: the file does not exist, or it is another head model.
    """
    from avatar.head import is_built_in, load_head

    source = given or capture.metadata["head"].get("source", EMBEDDED)
    if given is None and not is_built_in(source) and not Path(source).exists():
        raise HeadsplatError(f"{source}: the head model of {capture.root} does not exist any more; give --head FILE")
    head = load_head(source)
    check_head(capture, head)
    return head


def check_head(capture: Capture, head: HeadModel) -> None:
    """Raise HeadsplatError if `capture` was tracked with another head model than `head`."""
    if capture.metadata["head"].get("model_id") != head.model_id:
        name = capture.metadata["head"].get("name", "unknown")
        raise HeadsplatError(
            f"{capture.root}: tracked with another head model ({name}; this {head.name} has other geometry); give that "
            "one with --head or capture the video again"
        )


def stored_camera(entry: Mapping[str, Any]) -> Camera:
    """The camera [1] of the entry `capture` of an avatar's header (`capture_entry`)."""
    K, world_to_cam = (torch.tensor(entry["camera"][name], dtype=torch.float32) for name in ("K", "world_to_cam"))
    return Camera(K[None], world_to_cam[None], entry["width"], entry["height"])


def fit_camera(camera: Camera, width: int, height: int) -> Camera:
    """The view of `camera` on a raster of another size: scaled to fit and centered, wider if the shapes differ."""
    scale = min(width / camera.width, height / camera.height)
    K = camera.K.clone()
    K[:, :2] *= scale
    K[:, 0, 2] += (width - camera.width * scale) / 2
    K[:, 1, 2] += (height - camera.height * scale) / 2
    return replace(camera, K=K, width=width, height=height)


def resample(params: HeadParams, times: np.ndarray, rate: float) -> tuple[HeadParams, np.ndarray]:
    """`params` at a constant frame rate: T frames at `times` [T] seconds become n frames at `rate` fps.

    It uses `avatar.motion.edit.resample`, so the track of a capture is resampled like any other motion.

    Returns:
        The parameters and their times [n], from the first time to at most the last.
    """
    if len(times) < 2:
        return params, times
    check_increasing(times, "--fps: the track's times do not increase; capture the video again")
    names = tuple(str(column) for column in range(params.expression.shape[1]))
    time = torch.from_numpy(np.asarray(times, np.float64))
    motion = edit.resample(Motion(time, names, params.expression, "avatar", params.joint_rot, params.translation), rate)
    resampled = replace(params, expression=motion.weights, joint_rot=motion.joint_rot, translation=motion.translation)
    return resampled, motion.time.numpy()
