"""What to render: an avatar, its parameters frame by frame, their times and the camera."""

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


def provenance(capture: Capture) -> dict[str, Any]:
    """What an avatar's header keeps of the capture it was trained on: a fingerprint and the camera."""
    facts = capture.metadata
    return {
        "name": capture.root.name,
        "fingerprint": capture.fingerprint,
        "width": facts["width"],
        "height": facts["height"],
        "camera": facts["cameras"][0],
    }


def is_own(header: Mapping[str, Any], capture: Capture) -> bool:
    """Whether the avatar with this header was trained on `capture`."""
    return bool(header.get("capture", {}).get("fingerprint") == capture.fingerprint)


def head_of(capture: Capture, given: str | None = None) -> HeadModel:
    """The head that `capture` was tracked with: from `given`, else from where the capture says it was.

    Raises:
        HeadsplatError: the file is gone, or the head is another one.
    """
    from avatar.head import is_built_in, load_head

    source = given or capture.metadata["head"].get("source", EMBEDDED)
    if given is None and not is_built_in(source) and not Path(source).exists():
        raise HeadsplatError(f"{source}: the head model that {capture.root} was tracked with is gone; give --head FILE")
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


def stored_camera(facts: Mapping[str, Any]) -> Camera:
    """The camera [1] in what an avatar's header keeps of its capture (`provenance`)."""
    K, world_to_cam = (torch.tensor(facts["camera"][name], dtype=torch.float32) for name in ("K", "world_to_cam"))
    return Camera(K[None], world_to_cam[None], facts["width"], facts["height"])


def fit_camera(camera: Camera, width: int, height: int) -> Camera:
    """The view of `camera` on another raster: scaled to fit inside, centered, more to see where the shapes differ."""
    scale = min(width / camera.width, height / camera.height)
    K = camera.K.clone()
    K[:, :2] *= scale
    K[:, 0, 2] += (width - camera.width * scale) / 2
    K[:, 1, 2] += (height - camera.height * scale) / 2
    return replace(camera, K=K, width=width, height=height)


def resample(params: HeadParams, times: np.ndarray, rate: float) -> tuple[HeadParams, np.ndarray]:
    """`params` at constant intervals: T frames at `times` [T] seconds become n frames, `rate` a second.

    As `avatar.motion.resample` does it, so that an avatar along its own capture moves as along any other motion.

    Returns:
        The parameters and their times [n], from the first time on and never past the last.
    """
    if len(times) < 2:
        return params, times
    check_increasing(times, "--fps: the track's times do not increase; capture the video again")
    names = tuple(str(column) for column in range(params.expression.shape[1]))
    time = torch.from_numpy(np.asarray(times, np.float64))
    motion = edit.resample(
        Motion(time, names, params.expression, "the avatar's", params.joint_rot, params.translation), rate
    )
    mixed = replace(params, expression=motion.weights, joint_rot=motion.joint_rot, translation=motion.translation)
    return mixed, motion.time.numpy()
