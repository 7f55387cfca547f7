"""Progress of a training: its schedule by steps and wall clock, and reports to a callback."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar.training.config import TrainConfig
from avatar.training.trainer import Trainer

PREVIEW_SECONDS = 3.0


@dataclass(frozen=True)
class TrainProgress:
    """Progress of a training."""

    step: int
    seconds: float
    fraction: float  # 0..1 of the schedule
    loss: float
    psnr: float  # dB, running mean over training images
    eta_seconds: float
    stage: str  # "training", or the progress of a refinement
    preview: np.ndarray | None  # uint8 [H,2W,3], truth beside prediction, every few seconds


class Schedule:
    """Position in the schedule of a run, by steps or by wall clock, whichever is further."""

    def __init__(self, config: TrainConfig, started: float, spent: float) -> None:
        """
        Args:
            config: limits of steps and seconds.
            started: `time.perf_counter()` at the first step of this process.
            spent: seconds of the schedule that had passed before, in a resumed run.
        """
        self.config, self.started, self.before = config, started, spent

    def spent(self) -> float:
        """Seconds since the first step, of a resumed run in all its processes."""
        return self.before + time.perf_counter() - self.started

    def fraction(self, steps: int) -> float:
        """Position in the schedule after `steps` steps, 0..1."""
        by_steps = steps / self.config.steps
        by_clock = self.spent() / self.config.max_seconds if self.config.max_seconds else 0.0
        return min(1.0, max(by_steps, by_clock))

    def eta(self, fraction: float) -> float:
        """Estimated seconds to the end at the position `fraction`."""
        return self.spent() * (1 - fraction) / max(fraction, 1e-3)


class ProgressReporter:
    """Reports progress a few times a second, with a preview every few seconds."""

    def __init__(self, trainer: Trainer, clock: Schedule, progress: Callable[[TrainProgress], None] | None) -> None:
        self.trainer, self.clock, self.progress = trainer, clock, progress
        self.last = self.last_preview = time.perf_counter() - PREVIEW_SECONDS

    def report(self, loss: float, fraction: float) -> None:
        """Report a step with its `loss` at the position `fraction` of the schedule, if a report is due."""
        now = time.perf_counter()
        if self.progress is None or now - self.last < 0.2:
            return
        self.last = now
        preview = None
        if now - self.last_preview >= PREVIEW_SECONDS:
            preview, self.last_preview = self.trainer.preview(), now
        psnr = -10 * math.log10(max(self.trainer.mean_square, 1e-10))
        seconds = self.clock.spent()
        self.progress(
            TrainProgress(
                self.trainer.steps_done, seconds, fraction, loss, psnr, self.clock.eta(fraction), "training", preview
            )
        )

    def refining(self, done: int, total: int) -> None:
        """Report `done` of `total` refined time steps, if a report is due."""
        now = time.perf_counter()
        if self.progress is None or now - self.last < 0.2:
            return
        self.last = now
        fraction = self.clock.fraction(self.trainer.steps_done)
        psnr = -10 * math.log10(max(self.trainer.mean_square, 1e-10))
        steps, seconds = self.trainer.steps_done, self.clock.spent()
        stage = f"refining {done} of {total}"
        self.progress(TrainProgress(steps, seconds, fraction, math.nan, psnr, math.nan, stage, None))
