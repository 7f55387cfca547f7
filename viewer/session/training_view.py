"""A running training in the window: its newest avatar is shown, and rendering leaves most of the time to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from avatar.model.avatar import Avatar
from avatar.training.snapshot import SnapshotBuffer

if TYPE_CHECKING:
    from avatar.training.progress import TrainProgress

#: Fraction of the time that the window may use during a training while the user does not handle it: without a graphics
#: card one of its frames takes as long as several training steps.
TIME_FRACTION = 0.2


class TrainingView:
    """Takes the snapshots of a training for a session, and limits the time spent on rendering them."""

    def __init__(self, snapshots: SnapshotBuffer, first: Avatar, has_ended: Callable[[], bool]) -> None:
        """
        Args:
            snapshots: of the training.
            first: the snapshot that the session was created with.
            has_ended: whether the training has ended without a result, and the window is to close.
        """
        self._snapshots = snapshots
        self._current = first
        self.has_ended = has_ended
        self._render_started: float | None = None  # seconds
        self._paused_until = -math.inf  # seconds

    def take_newer(self, current: Avatar) -> Avatar | None:
        """The newest snapshot, once, where `current` is still this training's avatar; otherwise snapshots end."""
        if current is not self._current:  # another avatar was opened
            self._snapshots.close()
            return None
        newest = self._snapshots.take()
        if newest is not None:
            self._current = newest
        return newest

    def start_render(self, now: float) -> None:
        """Record that rendering starts at `now` seconds."""
        self._render_started = now

    def finish_render(self, now: float) -> None:
        """Record that the rendered image, if any, is on the screen at `now` seconds."""
        if self._render_started is not None:
            self._paused_until = now + (now - self._render_started) * (1 / TIME_FRACTION - 1)
            self._render_started = None

    def is_paused(self, now: float) -> bool:
        """Whether rendering has used its fraction of the time at `now` seconds."""
        return self.is_running and now < self._paused_until

    @property
    def is_running(self) -> bool:
        """Whether the training continues."""
        return not self._snapshots.finished

    def to_text(self) -> str:
        """The progress in one line."""
        provenance = self._current.provenance
        if provenance and not self.is_running:
            return f"trained: {provenance['steps']} steps, {provenance['train_psnr']} dB"
        progress = self._snapshots.progress
        return "training starts" if progress is None else progress_text(progress)


def progress_text(progress: TrainProgress) -> str:
    """The progress of a running training in one line."""
    if progress.phase != "training":
        return f"{progress.phase}: {progress.stage}"
    done = f"{progress.fraction:.0%}: step {progress.step}, {progress.psnr:.1f} dB"
    remaining = f", {progress.eta_seconds:.0f} s left" if math.isfinite(progress.eta_seconds) else ""
    return f"{progress.stage}, {done}{remaining}"
