"""An avatar on its way from the thread that trains it to the thread that shows it."""

from __future__ import annotations

import copy
import threading
import time
from typing import TYPE_CHECKING

from avatar.model.avatar import Avatar

if TYPE_CHECKING:
    from avatar.training.progress import TrainProgress

#: Seconds between two copies, at the least.
SNAPSHOT_SECONDS = 1.0
#: Share of the training's time that copying may take, at the most.
SNAPSHOT_SHARE = 0.02


def snapshot_of(avatar: Avatar) -> Avatar:
    """`avatar` as it is now in memory of its own, to be drawn and not trained; the head, which is fixed, is shared."""
    taken = copy.deepcopy(avatar, {id(avatar.head): avatar.head})
    return taken.eval().requires_grad_(False)


class SnapshotBuffer:
    """Room for one snapshot: the training thread puts it there, the window's thread takes it.

    A new one is made only when the last one was taken, so a window that is busy or closed costs the training nothing.
    """

    def __init__(self, every: float = SNAPSHOT_SECONDS) -> None:
        """Args: seconds between two snapshots, at the least."""
        self._every = every
        self._next = -float("inf")  # time.perf_counter() from which one may be made
        self._room: Avatar | None = None
        self._progress: TrainProgress | None = None
        self._finished = self._left = False
        self._changed = threading.Condition()

    def offer(self, avatar: Avatar) -> None:
        """On the training thread, between two steps: keep a snapshot of `avatar` if one is due (`fit(snapshot=)`)."""
        with self._changed:
            due = not self._left and self._room is None and time.perf_counter() >= self._next
        if due:
            began = time.perf_counter()
            taken = snapshot_of(avatar)
            ended = time.perf_counter()
            self._next = ended + max(self._every, (ended - began) / SNAPSHOT_SHARE)
            self._put(taken, False)

    def finish(self, avatar: Avatar) -> None:
        """On the training thread: the training is over and `avatar` is what came of it."""
        self._put(snapshot_of(avatar), True)

    def tell(self, progress: TrainProgress) -> None:
        """On the training thread: where it stands; for `fit(progress=)`."""
        self._progress = progress

    def take(self) -> Avatar | None:
        """On the window's thread: the newest snapshot, once; None where there is none since."""
        with self._changed:
            taken, self._room = self._room, None
        return taken

    def leave(self) -> None:
        """On the window's thread: nobody takes any more, make no more snapshots."""
        with self._changed:
            self._left, self._room = True, None

    def wait(self, seconds: float) -> Avatar | None:
        """On the window's thread: `take`, but wait at most `seconds` for a snapshot."""
        with self._changed:
            self._changed.wait_for(lambda: self._room is not None, seconds)
        return self.take()

    @property
    def progress(self) -> TrainProgress | None:
        """Where the training stands: what it told last."""
        return self._progress

    @property
    def finished(self) -> bool:
        """Whether the training is over: what `take` gives next, or gave last, is the finished avatar."""
        return self._finished

    def _put(self, taken: Avatar, finished: bool) -> None:
        with self._changed:
            self._finished = finished
            if not self._left:
                self._room = taken
                self._changed.notify_all()
