"""The window's outlets: recording, and the virtual camera."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError
from avatar.jobs.recording import Recording, sample_of

if TYPE_CHECKING:
    from avatar.driving.live.samples import AvatarPose, Sample
    from viewer.outputs.outlets import RenderedFrame

#: Seconds; the window renders nothing while nothing changes, and a motion must not interpolate over that time.
_STEP = 1 / 30
#: Seconds without a change after which the last sample is repeated, so that it is on disk if the process is killed.
_REPEAT = 0.5


class RecordingOutlet:
    """Starts a recording and writes the window's frames to it."""

    def __init__(self, recording: Recording) -> None:
        """Raises HeadsplatError where writing fails."""
        recording.start()
        self._recording = recording
        self._failed = recording.failed
        self._made: Sample | None = None  # the last sample, where it was made from the avatar's parameters
        self._live: Sample | None = None  # the last sample, where it is of a live source
        self.name = ", ".join(path.name for path in recording.running)

    def write(self, frame: RenderedFrame) -> None:
        """Record the image, and the live source's sample, or without a live source one from the avatar's parameters.

        A motion starts with a face: before the first sample of a live source nothing is recorded for it.

        Raises:
            HeadsplatError: nothing can be written any more.
        """
        if frame.pose.phase == "":
            self._extend(frame.time - _STEP)
            self._made = sample_of(frame.avatar, frame.pose.params, frame.time)
            self._recording.add_sample(self._made)
            self._live = None
        else:
            self._add_live(frame.pose, frame.time)
        self._recording.add_image(frame.image, frame.time)
        if self._recording.lost:
            self.close()

    def hold(self, time: float, pose: AvatarPose) -> None:
        """Extend the last image's display to `time` seconds, time.monotonic(), and record a sample without a change."""
        if pose.phase != "":
            self._add_live(pose, time)
        elif self._made is not None and time > self._made.time + _REPEAT:
            self._extend(time)
        self._recording.hold(time)

    def close(self) -> str:
        """Write the files; raises HeadsplatError where one could not be written."""
        now = time.monotonic()
        self._extend(now)
        message = "; ".join(self._recording.stop(now))
        if self._recording.failed > self._failed:
            raise HeadsplatError(message)
        return message

    def _add_live(self, pose: AvatarPose, time: float) -> None:
        """Record the sample of a live source's pose at `time` seconds, if it is a new one."""
        if pose.sample is None:
            self._mark_lost(time)
        elif self._is_new(pose):
            self._made = None
            self._live = pose.sample
            self._recording.add_sample(pose.sample)

    def _is_new(self, pose: AvatarPose) -> bool:
        """Whether the pose's sample is to be recorded.

        A sample that lost the face is not fresh, and is rendered only when the avatar moves again; hence by identity.
        """
        return pose.sample is not self._live and (pose.fresh or self._live is not None)

    def _mark_lost(self, time: float) -> None:
        """Record that the face is lost from `time` on: the source has discarded its identity."""
        if self._live is not None and self._live.confidence > 0:
            self._live = self._live.as_lost(time)
            self._recording.add_sample(self._live)

    def _extend(self, until: float) -> None:
        """Repeat the last sample that was made here at the time `until`."""
        if self._made is not None and until > self._made.time:
            self._made = replace(self._made, time=until)
            self._recording.add_sample(self._made)


class CameraOutlet:
    """The avatar as a camera for video calls."""

    def __init__(self) -> None:
        """Raises HeadsplatError where there is no device."""
        from viewer.outputs.virtual_camera import VirtualCamera

        self._camera = VirtualCamera()
        self.name = self._camera.stats().device

    def write(self, frame: RenderedFrame) -> None:
        """Send the image; raises HeadsplatError once the device accepts none any more."""
        self._camera.send(frame.image)
        if (failure := self._camera.stats().failure) is not None:
            raise HeadsplatError(failure)

    def hold(self, time: float, pose: AvatarPose) -> None:
        """Nothing to do: the camera repeats its last image."""

    def close(self) -> str:
        """Release the device."""
        self._camera.close()
        return f"{self.name}: {self._camera.stats().sent} frames sent"
