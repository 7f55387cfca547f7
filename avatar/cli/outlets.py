"""What the window's Record and Virtual camera do."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from avatar.cli.recording import Recording, sample_of
from avatar.errors import HeadsplatError

#: Seconds; the window gives no moments while nothing changes, and a take must not take that for slow change.
_STEP = 1 / 30


class RecordingOutlet:
    """Starts a recording and gives it the window's moments."""

    def __init__(self, recording: Recording) -> None:
        """Raises HeadsplatError where the disk refuses."""
        recording.start()
        self._recording, self._failed = recording, recording.failed
        self._own: Any = None  # the last sample, if no input gave it
        self._live: Any = None  # the last that one gave
        self.name = ", ".join(path.name for path in recording.running)

    def add(self, moment: Any) -> None:
        """Keep the sample that drove, or one made of the avatar's parameters where no input drives, and the picture.

        A take begins with a face: nothing is made up for an input that has given none yet.

        Args:
            moment: a viewer.outputs.outlets.Moment.

        Raises:
            HeadsplatError: nothing can be written any more.
        """
        pose = moment.pose
        if pose.phase == "":
            self._hold(moment.time - _STEP)
            self._own = sample_of(moment.avatar, pose.params, moment.time)
            self._recording.sample(self._own)
            self._live = None
        elif pose.sample is None:
            self._lose(moment.time)
        elif self._is_news(pose):
            self._own, self._live = None, pose.sample
            self._recording.sample(pose.sample)
        self._recording.picture(moment.picture, moment.time)
        if self._recording.lost:
            self.close()

    def hold(self, time: float) -> None:
        """What was seen last is seen until `time` seconds, time.monotonic()."""
        self._recording.hold(time)

    def close(self) -> str:
        """Write; raises HeadsplatError where something could not be."""
        now = time.monotonic()
        self._hold(now)
        told = "; ".join(self._recording.stop(now))
        if self._recording.failed > self._failed:
            raise HeadsplatError(told)
        return told

    def _is_news(self, pose: Any) -> bool:
        """Whether the sample of a viewer.session.pose_sources.Pose is to be kept.

        One that lost the face is not fresh, and comes as a moment only once the avatar moves again: hence by identity.
        """
        return pose.sample is not self._live and (pose.fresh or self._live is not None)

    def _lose(self, time: float) -> None:
        """Who drove is forgotten, as for another person: from `time` on the face is not seen."""
        if self._live is not None and self._live.confidence > 0:
            self._live = self._live.gone(time)
            self._recording.sample(self._live)

    def _hold(self, until: float) -> None:
        """Say that what the avatar did last it did until then."""
        if self._own is not None and until > self._own.time:
            self._recording.sample(replace(self._own, time=until))


class CameraOutlet:
    """The avatar as a camera for video calls."""

    def __init__(self) -> None:
        """Raises HeadsplatError where there is no device."""
        from viewer.outputs.virtual_camera import VirtualCamera

        self._camera = VirtualCamera()
        self.name = str(self._camera.stats()["device"])

    def add(self, moment: Any) -> None:
        """Send the picture of a Moment; raises HeadsplatError once the device takes none any more."""
        self._camera.send(moment.picture)
        if (failure := self._camera.stats()["failure"]) is not None:
            raise HeadsplatError(failure)

    def hold(self, time: float) -> None:
        """Nothing to do: the device repeats its last picture."""

    def close(self) -> str:
        """Let the device go."""
        self._camera.close()
        return f"{self.name}: {self._camera.stats()['sent']} pictures sent"
