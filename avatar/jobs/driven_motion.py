"""A motion applied to avatar files: head parameters for every frame, and the camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from avatar.common.files import path_text
from avatar.data.capture_folder import Capture
from avatar.data.capture_head import head_of
from avatar.data.recordings import with_baked_identity
from avatar.driving.driver import DriveOptions, Neutral, drive
from avatar.driving.motion_source import MotionSource
from avatar.jobs.appearance import read_in_appearance
from avatar.jobs.evaluating import trained_track
from avatar.jobs.motion_options import MotionOptions
from avatar.jobs.motion_sources import load_source
from avatar.jobs.notices import SILENT, Notices
from avatar.jobs.parsing import parse_gain
from avatar.jobs.render_inputs import following_camera, is_trained_on, resample, stored_camera
from avatar.model.avatar import Avatar
from avatar.model.torso import TorsoBelowHead
from avatar.motion.edit import gain, gaps, smooth, with_gap_note
from avatar.motion.edit import resample as resample_motion
from avatar.motion.from_capture import first_rows
from avatar.refine.corrected_pose import corrected_params
from avatar.refine.measured_torso import measured_torso
from avatar.refine.step import ABOVE
from avatar.refine.step_clip import step_capture
from avatar.rendering.camera_file import camera_at_times, read_camera_file
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import fit_camera, moving_camera, subject_of
from avatar.rendering.settings import RenderSettings
from avatar.types import Camera, HeadParams, Motion, TorsoPose
from avatar.video.offline_render import RenderColumn

if TYPE_CHECKING:
    from avatar.model.parts.light.relight import Relighting


#: Frames of a capture that decide whether it shows the avatar's person.
_LOOKED_AT = 30


@dataclass(frozen=True)
class DrivenAvatar:
    """One avatar with its parameters for every frame of a motion."""

    name: str  # file name of the avatar
    header: Mapping[str, Any]  # of the avatar's file
    avatar: Avatar
    params: HeadParams  # T frames
    torso: TorsoPose | None  # T frames, where it is measured; None: from the torso map
    times: np.ndarray  # [T] seconds since the first frame
    report: Mapping[str, Any] | None = None  # of the retargeting; None: the avatar's own capture, unchanged
    camera: Camera | None = None  # [T] of the avatar's own capture, whose window follows the head

    def __len__(self) -> int:
        return len(self.params)

    @property
    def rate(self) -> float:
        """Mean frames per second; 30 for a single frame."""
        return (len(self.times) - 1) / float(self.times[-1]) if len(self.times) > 1 else 30.0

    def relit(self, relighting: Relighting | None) -> DrivenAvatar:
        """This avatar in another light; None: itself."""
        if relighting is None:
            return self
        from avatar.model.parts.light.relight import relit

        return replace(self, avatar=relit(self.avatar, relighting))

    def column(self, request: CameraRequest, settings: RenderSettings, notices: Notices = SILENT) -> RenderColumn:
        """This avatar with the requested camera."""
        size = settings.width, settings.height
        capture = self.header.get("capture")
        if request.kind == "file":
            assert request.path is not None
            camera = fit_camera(camera_at_times(read_camera_file(request.path), self.times), *size)
        elif request.kind == "capture" and capture:
            camera = fit_camera(self.camera or stored_camera(capture), *size)
        else:
            if request.kind == "capture":
                notices.say(f"{self.name}: the file has no camera of a capture; rendering from the front")
                request = CameraRequest("front")
            camera = moving_camera(request, subject_of(self.avatar, self.params), self.times, *size)
        return RenderColumn(self.avatar, self.params, camera, self.torso)


@dataclass(frozen=True)
class DrivingSource:
    """The motion that drives the avatars of a command, read and edited once."""

    label: str
    capture: Capture | None  # None for an expression file
    motion: Motion
    options: DriveOptions
    edited: bool  # whether any option of the retargeting differs from its default
    notices: Notices = SILENT
    self_tracking: Literal["auto", "on", "off"] = "auto"
    mouth_mm: float | None = None  # the widest opening of the avatar's mouth; None: as driven

    @staticmethod
    def load(path: Path, options: MotionOptions, notices: Notices = SILENT) -> DrivingSource:
        """Read the capture folder or motion file `path` and edit the motion as in `options`."""
        return DrivingSource.of(
            load_source(path, options.motion_head, options.motion_fps, notices=notices), options, notices
        )

    @staticmethod
    def of(source: MotionSource, options: MotionOptions, notices: Notices = SILENT) -> DrivingSource:
        """The motion of `source`, edited as in `options`."""
        motion = gain(smooth(source.motion, options.smooth), parse_gain(options.gain))
        if options.neutral == "zero":
            motion = replace(motion, resting="zero")
        neutral: Neutral = "as-is" if options.neutral == "as-is" else "resting"
        drive_options = DriveOptions(neutral, options.pose, options.travel, options.soft_clamp, source.head)
        edited = replace(options, self_tracking="auto") != MotionOptions()
        return DrivingSource(
            source.label,
            source.capture,
            motion,
            drive_options,
            edited,
            notices,
            options.self_tracking,
            options.mouth_mm,
        )

    def drive(self, path: Path, fps: float | None, appearance: str | None = None) -> DrivenAvatar:
        """Drive an avatar: its own capture is used as tracked, any other motion is retargeted.

        Args:
            path: the avatar file.
            fps: constant frames per second, frame k at exactly k / fps seconds; None: the times of the motion.
            appearance: as --appearance names it; None: that of the first recording.
        """
        header, avatar = read_in_appearance(path, appearance)
        unchanged = not self.edited and self.motion.names == avatar.head.expression_names
        if self.capture is not None and unchanged:
            own = is_trained_on(header, self.capture)
            if self.self_tracking == "on" or (self.self_tracking == "auto" and not own):
                stepped = self._stepped(path, header, avatar, self.capture, fps)
                if stepped is not None:
                    return stepped
            if own:
                return self._own_capture(path, header, avatar, self.capture, fps)
        motion = self.motion if fps is None else resample_motion(self.motion, fps)
        driven = drive(avatar, motion, self.options)
        self.notices.say(f"{self.label} retargeted to {path.name}: {driven.report.to_text()}")
        times = driven.time - driven.time[0]
        params, report = driven.params, driven.report.to_dict()
        if self.mouth_mm is not None:
            from avatar.driving.visible_opening import with_visible_opening

            params, opening = with_visible_opening(avatar, params, self.mouth_mm)
            report |= {"mouth_mm": round(opening, 2)}
            self.notices.say(f"{path.name}: the mouth opens by up to {opening:.1f} mm")
        return DrivenAvatar(path_text(path.name), header, avatar, params, None, times, report)

    def _stepped(
        self, path: Path, header: Mapping[str, Any], avatar: Avatar, capture: Capture, fps: float | None
    ) -> DrivenAvatar | None:
        """The avatar as its own tracker in the frames of a capture; None where they do not show its person."""
        if len(capture.metadata["cameras"]) > 1 or avatar.offsets.device.type != "cpu":
            return None
        moved, below = capture, None
        if not is_trained_on(header, capture):
            moved, below = with_baked_identity(capture, avatar.head, head_of(capture)), TorsoBelowHead()
        rows = first_rows(moved)
        if self.self_tracking == "auto":
            likeness = float(np.median(step_capture(avatar, moved, rows[:_LOOKED_AT], below).correlation))
            if likeness < ABOVE:
                return None
        with self.notices.stage("stepping") as update:
            stepped = step_capture(avatar, moved, rows, below, lambda done, total: update(done / total, self.label))
        likeness = float(np.median(stepped.correlation))
        self.notices.say(f"{self.label}: its frames correct the motion of {path.name} (correlation {likeness:.2f})")
        params, times = stepped.params, np.asarray(moved.track["time"][rows], dtype=np.float64)
        if fps is not None:
            params, times = resample(params, times, fps)
        report = {"way": "the avatar as its own tracker", "correlation": round(likeness, 3)}
        torso = None if below is None else below.pose(avatar.rig.torso, *avatar.head.skull_pose(params))
        camera = following_camera(moved, times)
        return DrivenAvatar(path_text(path.name), header, avatar, params, torso, times - times[0], report, camera)

    def _own_capture(
        self, path: Path, header: Mapping[str, Any], avatar: Avatar, capture: Capture, fps: float | None
    ) -> DrivenAvatar:
        rows = first_rows(capture)
        times = np.asarray(capture.track["time"][rows], dtype=np.float64)
        params = corrected_params(avatar, capture, rows, capture.params(rows))
        poses = avatar.head.skull_pose(avatar.with_identity(params))
        torso = measured_torso(avatar, capture, rows, *poses)
        track = trained_track(header, capture, self.notices)
        if track is not None:
            params, torso = track.replaced(rows, params, torso)
        report = None
        if fps is not None:
            known = times
            params, times = resample(params, times, fps)
            if torso is not None:
                motion = avatar.rig.torso.motion_of_pose(torso)
                torso = avatar.rig.torso.pose(_interpolated(motion, known, times))
            notes = with_gap_note(self.motion, gaps(self.motion)).notes
            for note in notes:
                self.notices.say(f"{self.label}: {note}")
            report = {"way": "its own capture, as tracked", "notes": notes} if notes else None
        camera = following_camera(capture, times)
        return DrivenAvatar(path_text(path.name), header, avatar, params, torso, times - times[0], report, camera)


def _interpolated(values: Tensor, known: np.ndarray, times: np.ndarray) -> Tensor:
    """Values [T,C] at the times `known` [T], interpolated linearly to `times` [n]."""
    columns = [np.interp(times, known, column) for column in values.T.double().numpy()]
    return torch.from_numpy(np.stack(columns, 1)).to(values.dtype)
