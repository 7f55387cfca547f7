"""A running training on the screen: its newest avatar takes the place of the one shown, everything else stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from avatar.model.avatar import Avatar
from avatar.training.snapshot import SnapshotBuffer

if TYPE_CHECKING:
    from avatar.training.progress import TrainProgress
    from viewer.session.session import Session


#: Share of the time that the window may take beside a training, which has better use for it, while nobody handles it:
#: without a graphics card one of its frames takes as long as some steps.
SHARE = 0.2


class Watch:
    """Looks after the avatar of a session while it grows, and that looking does not take too much from the growing."""

    def __init__(self, growth: SnapshotBuffer, first: Avatar, over: Callable[[], bool]) -> None:
        """
        Args:
            growth: where snapshots come from.
            first: the one that the session began with.
            over: whether there is nothing more to see and the window is to close.
        """
        self._growth, self._shown, self._over = growth, first, over
        self._drawing: float | None = None
        self._rests_until = -math.inf

    def look(self, session: Session, now: float) -> None:
        """Show what has grown, if anything has; once for every frame of the window, at `now` seconds."""
        if self._drawing is not None:  # that picture is on the screen now
            self._rests_until = now + (now - self._drawing) * (1 / SHARE - 1)
            self._drawing = None
        if self._over():
            session.closing = True
        if session.avatar is not self._shown:  # another one was opened
            self._growth.close()
        elif (taken := self._growth.take()) is not None:
            self._shown = taken
            session.show_grown(taken)

    def drawing(self, now: float) -> None:
        """A picture is about to be drawn, at `now` seconds."""
        self._drawing = now

    def rests(self, now: float) -> bool:
        """Whether the pictures have had their share of the time until `now` seconds."""
        return self.training and now < self._rests_until

    @property
    def training(self) -> bool:
        """Whether the training goes on."""
        return not self._growth.finished

    @property
    def words(self) -> str:
        """How far it is."""
        figures = self._shown.provenance
        if figures and not self.training:
            return f"trained: {figures['steps']} steps, {figures['train_psnr']} dB"
        progress = self._growth.progress
        return "training begins" if progress is None else words_of(progress)


def words_of(progress: TrainProgress) -> str:
    """A running training in a line."""
    stage, done = progress.stage, f"{progress.fraction:.0%}: step {progress.step}, {progress.psnr:.1f} dB"
    left = f", {progress.eta_seconds:.0f} s left" if math.isfinite(progress.eta_seconds) else ""
    return f"{stage}, {done}{left}"
