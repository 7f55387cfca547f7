"""The interface of every pose source: a camera, a video file, a socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from avatar.driving.live.samples import CameraPreview, Sample, SourceStats

#: Seconds without a sample after which the face counts as lost. Networks delay packets by a tenth of a second or two,
#: and a sender at 25 fps would have to lose a dozen in a row; an avatar that repeats its last face for longer looks
#: frozen.
LOST_AFTER = 0.5


class PoseSource(Protocol):
    """Produces samples of a performer's face."""

    name: str  # for display

    def start(self) -> None:
        """Start; raises HeadsplatError on failure (no camera, a port that is in use)."""

    def latest(self) -> Sample | None:
        """The newest sample, once: None when there is no new one since the last call. Never waits."""

    def earlier(self) -> Sequence[Sample]:
        """Samples of the same face from before the first one that `latest` returned, oldest first.

        A camera source has some: it fits the performer's identity before it produces samples.
        """

    def stop(self) -> None:
        """Stop; has no effect when it was not started or has stopped."""

    def stats(self) -> SourceStats:
        """Counters since the start."""


@runtime_checkable
class VoicePoseSource(PoseSource, Protocol):
    """A pose source that knows its neutral, which `earlier` returns: what only a voice moves is not calibrated."""

    knows_neutral: bool


@runtime_checkable
class CameraPoseSource(PoseSource, Protocol):
    """A pose source that tracks a face in camera frames."""

    def learn_again(self) -> None:
        """Discard the identity: another person is in front of the camera."""

    def preview(self) -> CameraPreview | None:
        """The frame that was tracked last; None before the first."""
