"""Snapshots of an avatar in training, passed from the training thread to the thread of the window."""

from __future__ import annotations

import copy
import threading
import time
from typing import TYPE_CHECKING

from avatar.model.avatar import Avatar

if TYPE_CHECKING:
    from avatar.training.progress import TrainProgress

#: Minimum seconds between two snapshots.
SNAPSHOT_SECONDS = 1.0
#: Maximum fraction of the training time for copying.
SNAPSHOT_SHARE = 0.02


def snapshot_of(avatar: Avatar) -> Avatar:
    """A copy of `avatar` on the host for rendering; on the host the head is shared: training does not change it."""
    taken = copy.deepcopy(avatar, {id(avatar.head): avatar.head}).cpu()
    return taken.eval().requires_grad_(False)


class SnapshotBuffer:
    """A buffer for one snapshot: the training thread puts it in, the window's thread takes it out.

    A snapshot is copied only after the last one was taken, so a busy or closed window costs the training nothing.
    """

    def __init__(self, every: float = SNAPSHOT_SECONDS) -> None:
        """
        Args:
            every: minimum seconds between two snapshots.
        """
        self._every = every
        self._next = -float("inf")  # time.perf_counter() from which the next copy is due
        self._pending: Avatar | None = None
        self._progress: TrainProgress | None = None
        self._finished = self._closed = False
        self._changed = threading.Condition()

    def offer(self, avatar: Avatar) -> None:
        """Store a snapshot of `avatar` if one is due. Training thread, between two steps (`fit(snapshot=)`)."""
        with self._changed:
            due = not self._closed and self._pending is None and time.perf_counter() >= self._next
        if due:
            started = time.perf_counter()
            taken = snapshot_of(avatar)
            ended = time.perf_counter()
            self._next = ended + max(self._every, (ended - started) / SNAPSHOT_SHARE)
            self._put(taken, False)

    def finish(self, avatar: Avatar) -> None:
        """Store a snapshot of the trained `avatar` after the last step. Training thread."""
        self._put(snapshot_of(avatar), True)

    def report(self, progress: TrainProgress) -> None:
        """Store the progress of the training. Training thread (`fit(progress=)`)."""
        self._progress = progress

    def take(self) -> Avatar | None:
        """Take the newest snapshot out; None if there is no new one. Window's thread."""
        with self._changed:
            taken = self._pending
            self._pending = None
        return taken

    def close(self) -> None:
        """Make no more snapshots. Window's thread."""
        with self._changed:
            self._closed = True
            self._pending = None

    def wait(self, seconds: float) -> Avatar | None:
        """Like `take`, after waiting at most `seconds` for a snapshot. Window's thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending is not None, seconds)
        return self.take()

    @property
    def progress(self) -> TrainProgress | None:
        """The last reported progress of the training."""
        return self._progress

    @property
    def finished(self) -> bool:
        """Whether the training has ended: the next snapshot, or the last one taken, is the trained avatar."""
        return self._finished

    def _put(self, taken: Avatar, finished: bool) -> None:
        with self._changed:
            self._finished = finished
            if not self._closed:
                self._pending = taken
                self._changed.notify_all()
