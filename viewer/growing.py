"""A running training on the screen: its newest avatar takes the place of the one shown, everything else stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from avatar.growing import Growth
from avatar.model import Avatar

if TYPE_CHECKING:
    from avatar.train import TrainProgress
    from viewer.session import Session


class Watch:
    """Looks after a session's avatar while it grows."""

    def __init__(self, growth: Growth, first: Avatar, over: Callable[[], bool]) -> None:
        """
        Args:
            growth: where snapshots come from.
            first: the one that the session began with.
            over: whether there is nothing more to see and the window is to close.
        """
        self._growth, self._shown, self._over = growth, first, over

    def look(self, session: Session) -> bool:
        """Show what has grown, on the window's thread; returns whether there is more to come."""
        if self._over():
            session.closing = True
        if session.avatar is not self._shown:  # another one was opened
            self._growth.leave()
            return False
        finished = self._growth.finished
        if (taken := self._growth.take()) is not None:
            self._shown = taken
            session.show_grown(taken)
        return not finished

    @property
    def words(self) -> str:
        """How far the training is."""
        progress = self._growth.progress
        return "" if progress is None else words_of(progress, self._growth.finished)


def words_of(progress: TrainProgress, finished: bool) -> str:
    """A training in a line."""
    step, psnr = f"step {progress.step}", f"{progress.psnr:.1f} dB"
    if finished:
        return f"trained: {step}, {psnr}"
    share = f"{progress.fraction:.0%}"
    if progress.stage != "training":
        return f"{progress.stage} ({share}, {step}, {psnr})"
    left = f", {progress.eta_seconds:.0f} s left" if math.isfinite(progress.eta_seconds) else ""
    return f"training {share}: {step}, {psnr}{left}"
