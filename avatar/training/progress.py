"""Progress of a training: its schedule by steps and wall clock, its work, and reports to a callback."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from avatar.common.time_left import TimeLeft
from avatar.rendering.render import to_uint8
from avatar.training.config import TrainConfig
from avatar.training.prediction import compare
from avatar.training.trainer import Trainer

PREVIEW_SECONDS = 3.0
#: Time of a step at half size, and of refining one time step once, in steps at full size.
COARSE_STEP = 0.73
REFINED_STATE = 0.8
#: Parts of the preparation and of the end, with their shares of the time.
PREPARING = {
    "decoding frames": 2.3,
    "foreground colors": 0.4,
    "searching irises": 2.0,
    "placing teeth": 1.4,
    "building the avatar": 0.8,
    "initial colors": 0.9,
}
FINISHING = {"measuring differences": 0.4, "correcting torso and pose": 0.2}
Phase = Literal["preparing", "training", "finishing"]


@dataclass(frozen=True)
class TrainProgress:
    """Progress of a training."""

    step: int
    seconds: float
    fraction: float  # 0..1 of the schedule
    loss: float
    psnr: float  # dB, running mean over training images; nan before the first step
    eta_seconds: float  # to the end of the training, by the rate of the last seconds; nan in the other phases
    stage: str  # "training", the progress of a refinement, or what is prepared or finished
    preview: np.ndarray | None  # uint8 [H,2W,3], truth beside prediction, every few seconds
    work: float = 0.0  # 0..1 of the work of the phase, near linear in time
    phase: Phase = "training"


class Schedule:
    """Position in the schedule of a run, by steps or by wall clock, whichever is further."""

    def __init__(self, config: TrainConfig, started: float, spent: float) -> None:
        """
        Args:
            config: limits of steps and seconds.
            started: `time.perf_counter()` at the first step of this process.
            spent: seconds of the schedule that had passed before, in a resumed run.
        """
        self.config = config
        self.started = started
        self.before = spent

    def spent(self) -> float:
        """Seconds since the first step, of a resumed run in all its processes."""
        return self.before + time.perf_counter() - self.started

    def fraction(self, steps: int) -> float:
        """Position in the schedule after `steps` steps, 0..1."""
        by_steps = steps / self.config.steps
        by_clock = self.spent() / self.config.max_seconds if self.config.max_seconds else 0.0
        return min(1.0, max(by_steps, by_clock))


class Work:
    """Position in the work of a run, near linear in time: steps at half size take less, and a refinement counts too."""

    def __init__(self, clock: Schedule, states: int, *, coarse: bool) -> None:
        """
        Args:
            clock: the schedule.
            states: number of time steps that a refinement refines.
            coarse: whether there are steps at half size.
        """
        self._clock = clock
        self._config = clock.config
        self._coarse_steps = self._config.coarse_share * self._config.steps if coarse else 0.0
        self._passes = 0 if self._config.refine_at >= 1 else 2 if self._config.refine.training_expressions else 1
        self._refining = REFINED_STATE * states * self._passes
        self._refined = 0.0  # of the passes over all time steps

    def refining(self, done: int, total: int) -> None:
        """`done` of `total` time steps of the present pass are refined; the second pass begins at few again."""
        fraction = done / total
        passes = math.floor(self._refined) + (fraction < self._refined % 1)
        self._refined = min(passes + fraction, float(self._passes))

    def end_refining(self) -> None:
        """The refinement is done, or left out."""
        self._refined = float(self._passes)

    def fraction(self, steps: int) -> float:
        """Position after `steps` steps, 0..1."""
        refined = self._refined / max(1, self._passes)
        total = self._steps(self._config.steps) + self._refining
        by_steps = (self._steps(steps) + self._refining * refined) / total
        by_clock = self._clock.spent() / self._config.max_seconds if self._config.max_seconds else 0.0
        return min(1.0, max(by_steps, by_clock))

    def _steps(self, steps: int) -> float:
        """The time of `steps` steps, in steps at full size."""
        coarse = min(float(steps), self._coarse_steps)
        return COARSE_STEP * coarse + steps - coarse


class PartsReporter:
    """Reports the parts of a phase before or after the training as they begin."""

    def __init__(
        self,
        progress: Callable[[TrainProgress], None] | None,
        phase: Phase,
        steps: int = 0,
        seconds: float = 0.0,
        fraction: float = 0.0,
    ) -> None:
        """`steps`, `seconds` and `fraction` are those of the reports: of the training so far."""
        self._progress = progress
        self._phase = phase
        self._so_far = (steps, seconds, fraction)
        self._shares: Mapping[str, float] = PREPARING if phase == "preparing" else FINISHING

    def __call__(self, part: str) -> None:
        """Report that `part`, one of the phase, begins."""
        if self._progress is None:
            return
        names = list(self._shares)
        before = sum(self._shares[name] for name in names[: names.index(part)]) / sum(self._shares.values())
        steps, seconds, fraction = self._so_far
        nan = math.nan
        self._progress(TrainProgress(steps, seconds, fraction, nan, nan, nan, part, None, before, self._phase))


class ProgressReporter:
    """Reports the progress of the steps a few times a second, with a preview every few seconds."""

    def __init__(self, trainer: Trainer, clock: Schedule, progress: Callable[[TrainProgress], None] | None) -> None:
        self.trainer = trainer
        self.clock = clock
        self.progress = progress
        self.last = self.last_preview = time.perf_counter() - PREVIEW_SECONDS
        self._work = Work(clock, len(trainer.full.states), coarse=trainer.starts_coarse)
        self._model = TimeLeft(time.perf_counter())

    def report(self, loss: float, fraction: float) -> None:
        """Report a step with its `loss` at the position `fraction` of the schedule, if a report is due."""
        now = time.perf_counter()
        if not self._is_due(now):
            return
        preview = None
        if now - self.last_preview >= PREVIEW_SECONDS:
            preview = preview_of(self.trainer)
            self.last_preview = now
        if self.trainer.refinement is not None or self.trainer.refinement_skipped:
            self._work.end_refining()
        self._send(now, fraction, loss, "training", preview)

    def refining(self, done: int, total: int) -> None:
        """Report `done` of `total` refined time steps, if a report is due."""
        self._work.refining(done, total)
        now = time.perf_counter()
        if self._is_due(now):
            fraction = self.clock.fraction(self.trainer.steps_done)
            self._send(now, fraction, math.nan, f"refining {done} of {total}", None)

    def _is_due(self, now: float) -> bool:
        if self.progress is None or now - self.last < 0.2:
            return False
        self.last = now
        return True

    def _send(self, now: float, fraction: float, loss: float, stage: str, preview: np.ndarray | None) -> None:
        assert self.progress is not None
        steps = self.trainer.steps_done
        seconds = self.clock.spent()
        work = self._work.fraction(steps)
        psnr = -10 * math.log10(max(self.trainer.losses.mean_square, 1e-10))
        self._model.report(now, work)
        left = self._model.estimate(now, time.process_time()).seconds_left
        if left is None:  # in the first seconds
            left = (now - self.clock.started) * (1 - work) / max(work, 1e-3)
        self.progress(TrainProgress(steps, seconds, fraction, loss, psnr, left, stage, preview, work))


def preview_of(trainer: Trainer) -> np.ndarray:
    """Truth beside prediction for the middle frame of the clip, uint8 [H,2W,3]."""
    frames = trainer.full
    predicted, truth = compare(trainer.avatar, frames, len(frames) // 2, trainer.config.rasterizer)
    return to_uint8(torch.cat([truth, predicted], 1)).numpy()
