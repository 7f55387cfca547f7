"""A motion on avatars: parameters frame by frame, whatever the motion came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.asset import load_avatar, read_header
from avatar.captured import Capture
from avatar.cli.progress import say
from avatar.cli.shots import fit_camera, head_of, is_own, resample, stored_camera
from avatar.drive import cross_drive
from avatar.errors import HeadsplatError
from avatar.model import Avatar
from avatar.offline.camera_file import camera_along, read_camera_file
from avatar.offline.camera_request import CameraRequest
from avatar.offline.cameras import moving_camera, subject_of
from avatar.offline.draw import Actor
from avatar.offline.look import Look
from avatar.records import HeadParams


@dataclass(frozen=True)
class Take:
    """One avatar along a whole motion."""

    name: str  # of the avatar's file
    header: Mapping[str, Any]
    avatar: Avatar
    params: HeadParams  # T frames
    times: np.ndarray  # [T] seconds since the first frame
    report: Mapping[str, Any] | None = None  # what became of the motion; None where it is the avatar's own

    def __len__(self) -> int:
        return len(self.params)

    @property
    def rate(self) -> float:
        """Mean frames a second; 30 where there is but one frame."""
        return (len(self.times) - 1) / float(self.times[-1]) if len(self.times) > 1 else 30.0

    def before(self, request: CameraRequest, look: Look) -> Actor:
        """This avatar before the camera that is asked for."""
        size = look.width, look.height
        told = self.header.get("capture")
        if request.kind == "file":
            assert request.path is not None
            camera = fit_camera(camera_along(read_camera_file(request.path), self.times), *size)
        elif request.kind == "capture" and told:
            camera = fit_camera(stored_camera(told), *size)
        else:
            if request.kind == "capture":
                say(f"{self.name}: does not say what camera filmed the person; it is seen from the front")
                request = CameraRequest("front")
            camera = moving_camera(request, subject_of(self.avatar, self.params), self.times, *size)
        return Actor(self.avatar, self.params, camera)


def take_of(path: Path, source: Path, fps: float | None) -> Take:
    """The avatar file `path` along the motion `source`.

    Args:
        fps: constant frame rate, frame k at exactly k / fps seconds; None: the motion's own times.
    """
    header, avatar = read_header(path), load_avatar(path)
    if source.is_file():
        raise HeadsplatError(
            f"{source}: only capture folders can drive an avatar so far; run `headsplat capture` on a video"
        )
    capture = Capture.load(source)
    # Several cameras' pictures of one moment share it.
    _, rows = np.unique(capture.track["time_step"], return_index=True)
    if is_own(header, capture):
        params = capture.params(rows)
    else:
        say(f"{capture.root}: not the capture of {path.name}; its motion is retold for the avatar's person")
        params = cross_drive(avatar, capture, head_of(capture))[torch.from_numpy(rows)]
    times = np.asarray(capture.track["time"][rows], dtype=np.float64)
    if fps is not None:
        params, times = resample(params, times, fps)
    return Take(path.name, header, avatar, params, times - times[0])
