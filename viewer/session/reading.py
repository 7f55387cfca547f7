"""When the face that drives is read: while the reading panel is visible, at a limited rate."""

from __future__ import annotations

import math
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

from avatar.driving.live.samples import AvatarPose
from viewer.session import wings
from viewer.session.pose_sources import AvatarPoseSource
from viewer.session.state import FaceReading, State

if TYPE_CHECKING:
    from viewer.session.wings.reading import SourceReader

_PERIOD = 0.1  # seconds between two readings of a face that does not change


class FaceReader:
    """Reads the face of the active source while it is `wanted`; before that, what reads it is not loaded."""

    def __init__(self, worker: Executor | None = None) -> None:
        """Args: worker: thread that loads libraries, which takes a second; None: the first reading waits for them."""
        self.wanted = False  # whether the panel is visible
        self._worker = worker
        self._loading: Future[SourceReader] | None = None
        self._reader: SourceReader | None = None
        self._read_at = -math.inf  # seconds

    def restart(self) -> None:
        """Learn the resting face again."""
        if self._reader is not None:
            self._reader.restart()

    def read(self, source: AvatarPoseSource, pose: AvatarPose, state: State, now: float) -> FaceReading | None:
        """The reading of the active source's pose; None where there is no newer one.

        Args:
            source: the active one.
            pose: its newest.
            state: with the sliders and the frame of the timeline.
            now: seconds.
        """
        if not self.wanted or not (pose.fresh or now - self._read_at >= _PERIOD) or not self._is_loaded():
            return None
        assert self._reader is not None
        self._read_at = now
        return self._reader.read(source, pose, state, now)

    def _is_loaded(self) -> bool:
        """Whether there is a reader; the first call starts to load it."""
        if self._reader is None and self._worker is None:
            self._reader = wings.SourceReader()
        elif self._reader is None and self._worker is not None:
            if self._loading is None:
                self._loading = self._worker.submit(lambda: wings.SourceReader())
            if self._loading.done():
                self._reader = self._loading.result()
        return self._reader is not None
