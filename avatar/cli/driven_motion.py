"""A motion on avatars: parameters frame by frame, whatever the motion came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.cli.arguments import parse_gain
from avatar.cli.progress import say
from avatar.cli.render_inputs import fit_camera, head_of, is_trained_on, resample, stored_camera
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.driving.driver import DriveOptions, drive
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header
from avatar.motion import read_motion
from avatar.motion.edit import gain, gaps, noting_gaps, smooth
from avatar.motion.edit import resample as resampled
from avatar.motion.from_capture import first_rows, motion_of
from avatar.rendering.camera_file import camera_along, read_camera_file
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import moving_camera, subject_of
from avatar.rendering.settings import Look
from avatar.types import HeadParams, Motion
from avatar.video.film import Actor

if TYPE_CHECKING:
    from avatar.cli.render import MotionOptions


@dataclass(frozen=True)
class Take:
    """One avatar along a whole motion."""

    name: str  # of the avatar's file
    header: Mapping[str, Any]
    avatar: Avatar
    params: HeadParams  # T frames
    times: np.ndarray  # [T] seconds since the first frame
    report: Mapping[str, Any] | None = None  # what became of the motion; None where it is the avatar's own, untouched

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


@dataclass(frozen=True)
class Source:
    """What drives avatars, read once for all of them."""

    name: str
    capture: Capture | None  # where it is one, every moment's first picture is a frame
    motion: Motion
    options: DriveOptions
    edited: bool  # whether anything but the motion as it is was asked for

    @staticmethod
    def load(path: Path, asked: MotionOptions) -> Source:
        """The capture's folder or the motion file `path`, edited as `asked`."""
        motion, head, capture = read_source(path, asked.motion_head, asked.motion_fps)
        motion = gain(smooth(motion, asked.smooth), parse_gain(asked.gain))
        options = DriveOptions(asked.neutral, asked.pose, asked.travel, asked.soft_clamp, head)
        return Source(path.name, capture, motion, options, asked != type(asked)())

    def on(self, path: Path, fps: float | None) -> Take:
        """The avatar file `path` along this motion: its own capture exactly as tracked, any other retold.

        Args:
            fps: constant frame rate, frame k at exactly k / fps seconds; None: the motion's own times.
        """
        header, avatar = read_header(path), load_avatar(path)
        if self.capture is not None and is_trained_on(header, self.capture) and not self.edited:
            return self._own(path, header, avatar, self.capture, fps)
        motion = self.motion if fps is None else resampled(self.motion, fps)
        driven = drive(avatar, motion, self.options)
        say(f"{self.name} is retold for the person of {path.name}: {driven.report.to_text()}")
        return Take(path.name, header, avatar, driven.params, driven.time - driven.time[0], driven.report.to_dict())

    def _own(self, path: Path, header: Mapping[str, Any], avatar: Avatar, capture: Capture, fps: float | None) -> Take:
        rows = first_rows(capture)
        params, times = capture.params(rows), np.asarray(capture.track["time"][rows], dtype=np.float64)
        report = None
        if fps is not None:
            params, times = resample(params, times, fps)
            notes = noting_gaps(self.motion, gaps(self.motion)).notes
            for note in notes:
                say(f"{self.name}: {note}")
            report = {"way": "its own capture, as tracked", "notes": notes} if notes else None
        return Take(path.name, header, avatar, params, times - times[0], report)


def read_source(
    path: Path, head: str | None = None, fps: float | None = None
) -> tuple[Motion, HeadModel | None, Capture | None]:
    """The motion in a file or a capture folder, the head model it was made for where that is known, and the capture.

    Args:
        path: of either.
        head: names the head model; what the capture says when None.
        fps: rate of a file that carries no times.
    """
    if (path / METADATA_FILE).is_file():
        capture = Capture.load(path)
        tracked = head_of(capture, head)
        return motion_of(capture, tracked), tracked, capture
    return read_motion(path, fps=fps), None if head is None else load_head(head, told=say), None
